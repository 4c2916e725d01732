/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/stored.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

/* Where a tensor's numbers are on this rank, and how they get into a file's bytes. */
struct SnapshotSource {
    void (*copy)(const Snapshot *snapshot, int tensor, void *to);
    Slab *boxes;               /* owned */
    Real *numbers;             /* weights and moments: they stand there as in the boxes */
    const LayerMemory *memory; /* memory and valid counts */
    const SlotRing *ring;
    size_t field; /* cursors: offset of a member of RowCursor */
};

/* --- the list --------------------------------------------------------------------------------- */

static void list_begin(Snapshot *list, const SnapshotParts *parts, int room)
{
    size_t count = checked_size(room);
    *list = (Snapshot){.room = room};
    if (parts != NULL) list->parts = *parts;
    list->tensors = fatal_calloc(count, sizeof *list->tensors, "a list of tensors");
    list->sources = fatal_calloc(count, sizeof *list->sources, "a list of tensors");
}

void snapshot_destroy(Snapshot *list)
{
    for (int i = 0; i < list->count; i++) free(list->sources[i].boxes);
    free(list->tensors);
    free(list->sources);
    *list = (Snapshot){0};
}

/* Appends a tensor of which this rank has nothing yet. */
static SnapshotSource *append(Snapshot *list, const char *folder, const char *name, StoredType type,
                              Shape shape)
{
    PAL_ASSERT(list->count < list->room);
    int i = list->count++;
    CheckpointTensor *tensor = &list->tensors[i];
    *tensor = (CheckpointTensor){.type = type, .shape = shape};
    int length = snprintf(tensor->name, sizeof tensor->name, "%s/%s", folder, name);
    PAL_ASSERT(length > 0 && length < (int)sizeof tensor->name);
    return &list->sources[i];
}

/* Room for the boxes of the tensor that was appended last. */
static Slab *take_boxes(Snapshot *list, int64_t most)
{
    SnapshotSource *source = &list->sources[list->count - 1];
    source->boxes = fatal_calloc(checked_size(most), sizeof(Slab), "a list of boxes");
    list->tensors[list->count - 1].boxes = source->boxes;
    return source->boxes;
}

static void add_box(Snapshot *list, Slab box)
{
    CheckpointTensor *tensor = &list->tensors[list->count - 1];
    list->sources[list->count - 1].boxes[tensor->num_boxes++] = box;
}

/* --- weights and moments ---------------------------------------------------------------------- */

/* Whether the file has such numbers as they are in memory. */
static bool stored_as_they_are(StoredType type)
{
    return type == STORED_FLOAT32 && sizeof(Real) == sizeof(float);
}

static void copy_numbers(const Snapshot *list, int tensor, void *to)
{
    const CheckpointTensor *t = &list->tensors[tensor];
    Device *device = list->parts.model->device;
    Tensor numbers = tensor_1d(list->sources[tensor].numbers, checkpoint_numbers(t));
    if (stored_as_they_are(t->type)) {
        device->op->download(device, to, numbers);
        return;
    }
    size_t count = checked_size(tensor_count(numbers));
    Real *on_host = fatal_calloc(count, sizeof *on_host, "numbers of a tensor");
    device->op->download(device, on_host, numbers);
    stored_pack(t->type, to, on_host, (int64_t)count);
    free(on_host);
}

static Shape whole_shape(const Parameter *row)
{
    return (Shape){row->num_dims, {row->whole[0], row->whole[1]}};
}

/* Rows [first, first + count) of this rank's slice. */
static Slab slice_rows(const Parameter *row, int64_t first, int64_t count)
{
    Slab slab = {{row->first[0] + first, row->first[1]}, {count, row->dims[1]}};
    return slab;
}

/* Part `part` of `parts` of the rows of what this rank has; all ranks' parts of it together are the
 * whole when only owners bring theirs. */
static void append_weights(Snapshot *list, const Parameters *whole, const Parameters *own,
                           int parts, int part, bool owner_only)
{
    for (int i = 0; i < whole->count; i++) {
        const Parameter *row = parameters_find(own, whole->table[i].name);
        SnapshotSource *source = append(list, "/weights", whole->table[i].name, STORED_FLOAT32,
                                        whole_shape(&whole->table[i]));
        if (row == NULL || (owner_only && !row->owner)) continue;
        Range range = partition_range(row->dims[0], parts, part);
        take_boxes(list, 1);
        add_box(list, slice_rows(row, range.first, range.count));
        source->copy = copy_numbers;
        source->numbers =
            tensor_slice(parameter_view(row, own->value), range.first, range.count).data;
    }
}

/* Numbers [first, end) of a slice, counted along its rows: the rest of a row, whole rows, the
 * beginning of a row. Three boxes at most. */
static void add_range(Snapshot *list, const Parameter *row, int64_t first, int64_t end)
{
    int64_t width = row->num_dims == 2 ? row->dims[1] : 1;
    while (first < end) {
        int64_t i = first / width, j = first % width;
        int64_t rows = j == 0 ? (end - first) / width : 0;
        int64_t columns = rows > 0 ? width : (end - first < width - j ? end - first : width - j);
        if (rows == 0) rows = 1;
        Slab box = slice_rows(row, i, rows);
        if (row->num_dims == 2) {
            box.first[1] += j;
            box.count[1] = columns;
        }
        add_box(list, box);
        first += rows * columns;
    }
}

static int count_segments(const Optimizer *optimizer, const Parameter *row)
{
    int count = 0;
    for (int s = 0; s < optimizer->num_segments; s++) count += optimizer->segments[s].row == row;
    return count;
}

/* Moments: each rank has those of its segments, which of one parameter follow each other. Ranks
 * that have the same weights step by the same moments; one of them is their owner. */
static void append_moments(Snapshot *list, const char *folder, const Parameters *whole,
                           const Optimizer *optimizer, Tensor moments, bool owner_only)
{
    for (int i = 0; i < whole->count; i++) {
        const char *name = whole->table[i].name;
        SnapshotSource *source =
            append(list, folder, name, STORED_FLOAT32, whole_shape(&whole->table[i]));
        const Parameter *row = parameters_find(optimizer->parameters, name);
        if (row == NULL || (owner_only && !row->owner)) continue;
        take_boxes(list, 3 * (int64_t)count_segments(optimizer, row));
        for (int s = 0; s < optimizer->num_segments; s++) {
            const Segment *segment = &optimizer->segments[s];
            if (segment->row != row) continue;
            if (source->numbers == NULL) source->numbers = moments.data + segment->owned;
            int64_t first = segment->flat - row->offset;
            add_range(list, row, first, first + segment->count);
        }
        source->copy = copy_numbers;
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

/* The slots of one run and row, with zeros where nothing is held. */
static void read_run(Device *device, const LayerMemory *memory, const SlotRing *ring, ShardRun run,
                     int row, Real *slots)
{
    int64_t width = ring->slots.dims[2], unheld = ring->order.slots - ring->held[row] - run.whole;
    memory_download(device, ring, row, memory->pushed[row], run.shard, run.count, slots);
    if (unheld > run.count) unheld = run.count;
    if (unheld > 0) memset(slots, 0, checked_size(unheld * width) * sizeof *slots);
}

/* Run after run, of each run row after row: so are the boxes. Numbers that the file has as the
 * memory has them go there at once. */
static void copy_memory(const Snapshot *list, int tensor, void *to)
{
    const SnapshotSource *source = &list->sources[tensor];
    const LayerMemory *memory = source->memory;
    const SlotRing *ring = source->ring;
    StoredType type = list->tensors[tensor].type;
    int64_t width = ring->slots.dims[2];
    bool as_it_is = stored_as_they_are(type);
    Real *slots = fatal_calloc(checked_size(ring->kept * width), sizeof *slots, "slots of a row");
    char *at = to;
    for (int64_t i = 0; i < shard_runs(ring->order, memory->part); i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        int64_t count = run.count * width;
        for (int row = 0; row < (int)list->parts.rows.count; row++) {
            Real *read = as_it_is ? (Real *)(void *)at : slots;
            read_run(list->parts.model->device, memory, ring, run, row, read);
            if (!as_it_is) stored_pack(type, at, slots, count);
            at += count * (int64_t)stored_size(type);
        }
    }
    free(slots);
}

static int valid_of_row(const LayerMemory *memory, const SlotRing *ring, int row)
{
    if (memory->empty != EMPTY_MASKED) return (int)ring->order.slots;
    return ring == &memory->recent ? ring->held[row] : memory->valid_compressed[row];
}

static void copy_valid(const Snapshot *list, int tensor, void *to)
{
    const SnapshotSource *source = &list->sources[tensor];
    int32_t *valid = to;
    for (int b = 0; b < (int)list->parts.rows.count; b++)
        valid[b] = valid_of_row(source->memory, source->ring, b);
}

static const char *const ring_names[] = {"recent", "compressed"};
static const char *const valid_names[] = {"valid_recent", "valid_compressed"};

/* Of a layer of the whole model; NULL where another stage has it. */
static LayerMemory *memory_of_layer(Model *model, int layer)
{
    int l = layer - model->place.first_layer;
    return l >= 0 && l < model->place.layers ? &model->memory[l] : NULL;
}

static const SlotRing *ring_of(const LayerMemory *memory, int kind)
{
    return kind == 0 ? &memory->recent : &memory->compressed;
}

static int slots_of(const ModelOptions *options, int layer, int kind)
{
    return kind == 0 ? options->memory[layer] : options->compressed_memory[layer];
}

static void layer_folder(int layer, char folder[64])
{
    snprintf(folder, 64, "/memory/layers/%02d", layer);
}

/* One box a run; `shift`: where slot 0 of this memory is among the file's `slots`. What lies
 * outside is left out. */
static void add_runs(Snapshot *list, const LayerMemory *memory, const SlotRing *ring, Range rows,
                     int64_t shift)
{
    int64_t runs = shard_runs(ring->order, memory->part);
    take_boxes(list, runs + 1);
    for (int64_t i = 0; i < runs; i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        int64_t first = run.whole + shift, end = first + run.count;
        if (first < 0) first = 0;
        if (first < end)
            add_box(list,
                    (Slab){{rows.first, first, 0}, {rows.count, end - first, ring->slots.dims[2]}});
    }
}

static void append_memory(Snapshot *list, int layer, int kind, StoredType type)
{
    Model *model = list->parts.model;
    const ModelOptions *o = &model->options;
    const LayerMemory *memory = memory_of_layer(model, layer);
    int64_t rows = list->parts.all_rows;
    char folder[64];
    layer_folder(layer, folder);

    SnapshotSource *source = append(list, folder, ring_names[kind], type,
                                    (Shape){3, {rows, slots_of(o, layer, kind), o->width}});
    if (memory != NULL && ring_of(memory, kind)->kept > 0) {
        *source =
            (SnapshotSource){.copy = copy_memory, .memory = memory, .ring = ring_of(memory, kind)};
        add_runs(list, memory, source->ring, list->parts.rows, 0);
    }
    source = append(list, folder, valid_names[kind], STORED_INT32, (Shape){1, {rows}});
    if (memory != NULL && model->place.tensor_part == 0) {
        *source =
            (SnapshotSource){.copy = copy_valid, .memory = memory, .ring = ring_of(memory, kind)};
        take_boxes(list, 1);
        add_box(list, (Slab){{list->parts.rows.first}, {list->parts.rows.count}});
    }
}

/* --- where the rows stand --------------------------------------------------------------------- */

static void copy_cursors(const Snapshot *list, int tensor, void *to)
{
    int64_t *numbers = to;
    const BatchOrder *order = list->parts.order;
    for (int row = 0; row < order->rows; row++)
        memcpy(&numbers[row], (const char *)&order->cursors[row] + list->sources[tensor].field,
               sizeof *numbers);
}

/* Every rank follows the order of all rows; one writes it. */
static void append_cursors(Snapshot *list)
{
    static const struct {
        const char *name;
        size_t field;
    } members[] = {{"document", offsetof(RowCursor, document)},
                   {"offset", offsetof(RowCursor, offset)},
                   {"epoch", offsetof(RowCursor, epoch)}};
    int64_t rows = list->parts.all_rows;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        SnapshotSource *source =
            append(list, "/cursors", members[i].name, STORED_INT64, (Shape){1, {rows}});
        if (!group_is_root(&list->parts.grid->world)) continue;
        take_boxes(list, 1);
        add_box(list, (Slab){{0}, {rows}});
        source->copy = copy_cursors;
        source->field = members[i].field;
    }
}

/* --- saving ----------------------------------------------------------------------------------- */

static void describe_whole(Parameters *whole, const ModelOptions *options)
{
    Placement place = placement_whole(options, 1);
    parameters_describe(whole, options, &place);
}

static void append_both_moments(Snapshot *list, const Parameters *whole, bool owner_only)
{
    const Optimizer *o = list->parts.optimizer;
    append_moments(list, "/optimizer/first_moment", whole, o, o->first_moment, owner_only);
    append_moments(list, "/optimizer/second_moment", whole, o, o->second_moment, owner_only);
}

void snapshot_create(Snapshot *list, const SnapshotParts *parts, StoredType memory_type)
{
    const ModelOptions *options = &parts->model->options;
    const Group *data = &parts->grid->data;
    Parameters whole;
    describe_whole(&whole, options);
    list_begin(list, parts, 3 * whole.count + 4 * options->layers + 3);
    append_weights(list, &whole, parts->model->parameters, data->size, data->rank, true);
    append_both_moments(list, &whole, true);
    for (int l = 0; l < options->layers; l++)
        for (int kind = 0; kind < 2; kind++) append_memory(list, l, kind, memory_type);
    if (parts->order != NULL) append_cursors(list);
    free(whole.table);
}

void snapshot_copy(const Snapshot *list, int tensor, void *to)
{
    if (list->sources[tensor].copy != NULL) list->sources[tensor].copy(list, tensor, to);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Tensors whose numbers stand in memory as in their boxes. */
static Status load_numbers(Checkpoint *checkpoint, const Snapshot *list)
{
    for (int i = 0; i < list->count; i++) {
        CheckpointTensor tensor = list->tensors[i];
        tensor.type = STORED_REAL;
        PAL_TRY(checkpoint_read(checkpoint, &tensor, list->sources[i].numbers));
    }
    return PAL_OK;
}

Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group,
                             const ModelOptions *options, const Parameters *parameters)
{
    Parameters whole;
    Snapshot list;
    describe_whole(&whole, options);
    list_begin(&list, NULL, whole.count);
    append_weights(&list, &whole, parameters, 1, 0, false);
    Status status = load_numbers(checkpoint, &list);
    snapshot_destroy(&list);
    free(whole.table);
    return group_agree(group, status);
}

static Status load_moments(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    Parameters whole;
    Snapshot list;
    describe_whole(&whole, &parts->model->options);
    list_begin(&list, parts, 2 * whole.count);
    append_both_moments(&list, &whole, false);
    Status status = load_numbers(checkpoint, &list);
    snapshot_destroy(&list);
    free(whole.table);
    return status;
}

/* One ring of a layer as it comes from the file. */
typedef struct LoadedRing {
    Real *slots;    /* (rows, kept, D) of this rank */
    int32_t *valid; /* (rows) of the whole */
} LoadedRing;

/* The file's numbers, run after run, to rows of slots; what the file does not have stays zero. */
static void sort_runs(const SnapshotParts *parts, const LayerMemory *memory, const SlotRing *ring,
                      int64_t shift, const Real *numbers, Real *slots)
{
    int64_t width = ring->slots.dims[2], rows = parts->rows.count;
    for (int64_t i = 0; i < shard_runs(ring->order, memory->part); i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        int64_t missing = run.whole + shift < 0 ? -(run.whole + shift) : 0;
        int64_t count = run.count - missing;
        if (count <= 0) continue;
        for (int64_t b = 0; b < rows; b++) {
            memcpy(slots + (b * ring->kept + run.shard + missing) * width, numbers,
                   checked_size(count * width) * sizeof *slots);
            numbers += count * width;
        }
    }
}

/* Collective; ranks that do not have the layer take part with no boxes. */
static Status load_ring(Checkpoint *checkpoint, const SnapshotParts *parts, int layer, int kind,
                        LoadedRing *loaded)
{
    const ModelOptions *o = &parts->model->options;
    const LayerMemory *memory = memory_of_layer(parts->model, layer);
    const SlotRing *ring = memory == NULL ? NULL : ring_of(memory, kind);
    int64_t rows = parts->all_rows, own_rows = parts->rows.count;
    char folder[64];
    Shape in_file;
    Snapshot list;
    layer_folder(layer, folder);
    list_begin(&list, parts, 2);
    append(&list, folder, ring_names[kind], STORED_REAL, (Shape){0});
    Status status = checkpoint_shape(checkpoint, list.tensors[0].name, &in_file);
    int64_t slots = status == PAL_OK && in_file.num_dims == 3 ? in_file.dims[1] : 0;
    int64_t shift = slots - slots_of(o, layer, kind);
    list.tensors[0].shape = (Shape){3, {rows, slots, o->width}};
    int64_t kept = ring == NULL ? 0 : own_rows * ring->kept * o->width;
    Real *numbers = fatal_calloc(checked_size(kept) + 1, sizeof *numbers, "memory of a layer");
    loaded->slots = fatal_calloc(checked_size(kept) + 1, sizeof *numbers, "memory of a layer");
    loaded->valid = fatal_calloc(checked_size(own_rows) + 1, sizeof(int32_t), "valid counts");

    if (ring != NULL && own_rows > 0) add_runs(&list, memory, ring, parts->rows, shift);
    if (status == PAL_OK) status = checkpoint_read(checkpoint, &list.tensors[0], numbers);
    if (status == PAL_OK && ring != NULL)
        sort_runs(parts, memory, ring, shift, numbers, loaded->slots);

    append(&list, folder, valid_names[kind], STORED_INT32, (Shape){1, {rows}});
    take_boxes(&list, 1);
    add_box(&list, (Slab){{parts->rows.first}, {own_rows}});
    if (status == PAL_OK) status = checkpoint_read(checkpoint, &list.tensors[1], loaded->valid);
    snapshot_destroy(&list);
    free(numbers);
    return status;
}

static Status check_valid(const Checkpoint *checkpoint, int layer, const LoadedRing *loaded,
                          int64_t rows)
{
    for (int64_t b = 0; b < rows; b++)
        if (loaded->valid[b] < 0)
            PAL_FAIL(PAL_ERROR_DATA, "%s: layer %d has %d valid slots in a row",
                     h5_path(checkpoint->file), layer, loaded->valid[b]);
    return PAL_OK;
}

static int smaller(int a, int b) { return a < b ? a : b; }

static Status load_layer_memory(Checkpoint *checkpoint, const SnapshotParts *parts, int layer)
{
    Model *model = parts->model;
    const ModelOptions *o = &model->options;
    LayerMemory *memory = memory_of_layer(model, layer);
    LoadedRing loaded[2] = {{0}};
    Status status = PAL_OK;
    for (int kind = 0; kind < 2 && status == PAL_OK; kind++)
        status = load_ring(checkpoint, parts, layer, kind, &loaded[kind]);
    for (int kind = 0; kind < 2 && status == PAL_OK; kind++)
        status = check_valid(checkpoint, layer, &loaded[kind], parts->rows.count);
    for (int b = 0; b < (int)parts->rows.count && status == PAL_OK && memory != NULL; b++)
        memory_restore_row(model->device, memory, b,
                           loaded[0].slots + b * memory->recent.kept * o->width,
                           loaded[1].slots + b * memory->compressed.kept * o->width,
                           smaller(loaded[0].valid[b], o->memory[layer]),
                           smaller(loaded[1].valid[b], o->compressed_memory[layer]));
    for (int kind = 0; kind < 2; kind++) {
        free(loaded[kind].slots);
        free(loaded[kind].valid);
    }
    return group_agree(&parts->grid->world, status);
}

Status snapshot_load(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    const Model *model = parts->model;
    const CheckpointState *state = &checkpoint->state;
    const Group *world = &parts->grid->world;
    PAL_TRY(snapshot_load_weights(checkpoint, world, &model->options, model->parameters));
    PAL_TRY(load_moments(checkpoint, parts));
    for (int l = 0; l < model->options.layers; l++)
        PAL_TRY(load_layer_memory(checkpoint, parts, l));
    return group_agree(world, batch_order_restore(parts->order, state->cursors, state->next));
}
