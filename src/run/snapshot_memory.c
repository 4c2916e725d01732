/* SPDX-License-Identifier: Apache-2.0
 *
 * The rolling memory of a snapshot: rings and shards on the ranks, rows of slots in reading order
 * in the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/run/snapshot_list.h"

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
    bool as_it_is = snapshot_stored_as_is(type);
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
    snapshot_take_boxes(list, runs + 1);
    for (int64_t i = 0; i < runs; i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        int64_t first = run.whole + shift, end = first + run.count;
        if (first < 0) first = 0;
        if (first < end)
            snapshot_add_box(list, (Slab){{rows.first, first, 0},
                                          {rows.count, end - first, ring->slots.dims[2]}});
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

    SnapshotSource *source =
        snapshot_append(list, folder, ring_names[kind], type,
                        (Shape){3, {rows, slots_of(o, layer, kind), o->width}});
    if (memory != NULL && ring_of(memory, kind)->kept > 0) {
        *source =
            (SnapshotSource){.copy = copy_memory, .memory = memory, .ring = ring_of(memory, kind)};
        add_runs(list, memory, source->ring, list->parts.rows, 0);
    }
    source = snapshot_append(list, folder, valid_names[kind], STORED_INT32, (Shape){1, {rows}});
    if (memory != NULL && model->place.tensor_part == 0) {
        *source =
            (SnapshotSource){.copy = copy_valid, .memory = memory, .ring = ring_of(memory, kind)};
        snapshot_take_boxes(list, 1);
        snapshot_add_box(list, (Slab){{list->parts.rows.first}, {list->parts.rows.count}});
    }
}

void snapshot_append_memory(Snapshot *list, StoredType type)
{
    for (int l = 0; l < list->parts.model->options.layers; l++)
        for (int kind = 0; kind < 2; kind++) append_memory(list, l, kind, type);
}

/* --- loading ---------------------------------------------------------------------------------- */

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
    snapshot_list_begin(&list, parts);
    snapshot_append(&list, folder, ring_names[kind], STORED_REAL, (Shape){0});
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

    snapshot_append(&list, folder, valid_names[kind], STORED_INT32, (Shape){1, {rows}});
    snapshot_take_boxes(&list, 1);
    snapshot_add_box(&list, (Slab){{parts->rows.first}, {own_rows}});
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

Status snapshot_load_memory(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    for (int l = 0; l < parts->model->options.layers; l++)
        PAL_TRY(load_layer_memory(checkpoint, parts, l));
    return PAL_OK;
}
