/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

enum { NAME_SIZE = 128 };

/* A list under construction; names and boxes live beside their tensors. It has the same tensors on
 * every rank, whatever a rank holds of them. */
typedef struct Snapshot {
    CheckpointTensor *tensors;
    char (*names)[NAME_SIZE];
    void **owned; /* per tensor: boxes or numbers to be freed */
    Slab **boxes;
    int count, most;
} Snapshot;

static void snapshot_begin(Snapshot *list, int most)
{
    size_t count = checked_size(most);
    *list = (Snapshot){.most = most};
    list->tensors = fatal_calloc(count, sizeof *list->tensors, "a list of tensors");
    list->names = fatal_calloc(count, sizeof *list->names, "a list of tensors");
    list->owned = fatal_calloc(count, sizeof *list->owned, "a list of tensors");
    list->boxes = fatal_calloc(count, sizeof(Slab *), "a list of tensors");
}

static void snapshot_end(Snapshot *list)
{
    for (int i = 0; i < list->count; i++) {
        free(list->owned[i]);
        free(list->boxes[i]);
    }
    free(list->tensors);
    free(list->names);
    free(list->owned);
    free(list->boxes);
}

/* Appends a tensor of which this rank has nothing yet. */
static CheckpointTensor *append(Snapshot *list, const char *folder, const char *name,
                                StoredType type, Shape shape)
{
    PAL_ASSERT(list->count < list->most);
    int i = list->count++;
    snprintf(list->names[i], NAME_SIZE, "%s/%s", folder, name);
    list->tensors[i] = (CheckpointTensor){.name = list->names[i], .type = type, .shape = shape};
    return &list->tensors[i];
}

/* Room for the boxes of the tensor that was appended last. */
static Slab *take_boxes(Snapshot *list, int64_t most)
{
    Slab *boxes = fatal_calloc(checked_size(most), sizeof *boxes, "a list of boxes");
    list->boxes[list->count - 1] = boxes;
    list->tensors[list->count - 1].parts = boxes;
    return boxes;
}

/* --- parameters ------------------------------------------------------------------------------- */

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

/* Weights: the ranks of a data group have the same ones, and each writes some rows of them. */
static void append_weights(Snapshot *list, const Parameters *whole, const Parameters *own,
                           int parts, int part, bool owner_only)
{
    for (int i = 0; i < whole->count; i++) {
        const Parameter *row = parameters_find(own, whole->table[i].name);
        CheckpointTensor *tensor = append(list, "/weights", whole->table[i].name, STORED_REAL,
                                          whole_shape(&whole->table[i]));
        if (row == NULL || (owner_only && !row->owner)) continue;
        Range range = partition_range(row->dims[0], parts, part);
        tensor->part = slice_rows(row, range.first, range.count);
        tensor->data = tensor_slice(parameter_view(row, own->value), range.first, range.count).data;
    }
}

/* Numbers [first, end) of a slice, counted along its rows: the rest of a row, whole rows, the
 * beginning of a row. Returns the number of boxes. */
static int range_boxes(const Parameter *row, int64_t first, int64_t end, Slab boxes[3])
{
    int64_t width = row->num_dims == 2 ? row->dims[1] : 1;
    int count = 0;
    while (first < end) {
        int64_t i = first / width, j = first % width;
        int64_t rows = j == 0 ? (end - first) / width : 0;
        int64_t columns = rows > 0 ? width : (end - first < width - j ? end - first : width - j);
        if (rows == 0) rows = 1;
        boxes[count] = slice_rows(row, i, rows);
        if (row->num_dims == 2) {
            boxes[count].first[1] += j;
            boxes[count].count[1] = columns;
        }
        count++;
        first += rows * columns;
    }
    return count;
}

static int count_segments(const Optimizer *optimizer, const Parameter *row)
{
    int count = 0;
    for (int s = 0; s < optimizer->num_segments; s++) count += optimizer->segments[s].row == row;
    return count;
}

/* Moments: each rank has those of its segments, which of one parameter follow each other. */
static void append_moments(Snapshot *list, const char *folder, const Parameters *whole,
                           const Optimizer *optimizer, Tensor moments)
{
    for (int i = 0; i < whole->count; i++) {
        CheckpointTensor *tensor =
            append(list, folder, whole->table[i].name, STORED_REAL, whole_shape(&whole->table[i]));
        const Parameter *row = parameters_find(optimizer->parameters, whole->table[i].name);
        if (row == NULL || !row->owner) continue;
        Slab *boxes = take_boxes(list, 3 * (int64_t)count_segments(optimizer, row));
        for (int s = 0; s < optimizer->num_segments; s++) {
            const Segment *segment = &optimizer->segments[s];
            if (segment->row != row) continue;
            if (tensor->num_parts == 0) tensor->data = moments.data + segment->owned;
            int64_t first = segment->flat - row->offset;
            tensor->num_parts +=
                range_boxes(row, first, first + segment->count, boxes + tensor->num_parts);
        }
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Numbers (rows, kept, D) of this rank's shard, with zeros where nothing is held. */
static Real *read_shards(Device *device, const LayerMemory *memory, const SlotRing *ring,
                         int64_t rows)
{
    int64_t width = ring->slots.dims[2];
    Real *numbers = fatal_calloc(checked_size(rows * ring->kept * width), sizeof *numbers,
                                 "memory on its way to a checkpoint");
    for (int64_t b = 0; b < rows; b++) {
        Real *to = numbers + b * ring->kept * width;
        memory_read_shard(device, ring, (int)b, memory->pushed[b], to);
        int64_t unheld = ring->order.slots - ring->held[b];
        for (int64_t i = 0; i < shard_runs(ring->order, memory->part); i++) {
            ShardRun run = shard_run(ring->order, memory->part, i);
            int64_t cleared = unheld - run.whole < run.count ? unheld - run.whole : run.count;
            if (cleared > 0)
                memset(to + run.shard * width, 0, checked_size(cleared * width) * sizeof *to);
        }
    }
    return numbers;
}

static void fill_shards(Snapshot *list, CheckpointTensor *tensor, Model *model,
                        const LayerMemory *memory, const SlotRing *ring, Range rows)
{
    int64_t width = ring->slots.dims[2], runs = shard_runs(ring->order, memory->part);
    Slab *boxes = take_boxes(list, runs);
    for (int64_t i = 0; i < runs; i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        boxes[i] = (Slab){{rows.first, run.whole, 0}, {rows.count, run.count, width}};
    }
    tensor->num_parts = (int)runs;
    tensor->data = read_shards(model->device, memory, ring, rows.count);
    list->owned[list->count - 1] = tensor->data;
}

static void fill_valid(Snapshot *list, CheckpointTensor *tensor, const LayerMemory *memory,
                       const SlotRing *ring, Range rows)
{
    bool recent = ring == &memory->recent;
    const int *masked = recent ? ring->held : memory->valid_compressed;
    int *valid = fatal_calloc(checked_size(rows.count), sizeof *valid, "valid counts");
    for (int64_t b = 0; b < rows.count; b++)
        valid[b] = memory->empty == EMPTY_MASKED ? masked[b] : (int)ring->order.slots;
    tensor->part = (Slab){{rows.first}, {rows.count}};
    tensor->data = valid;
    list->owned[list->count - 1] = valid;
}

static void append_layer_memory(Snapshot *list, Model *model, int layer, bool compressed,
                                Range rows, int64_t all_rows)
{
    const ModelOptions *o = &model->options;
    int l = layer - model->place.first_layer;
    bool here = l >= 0 && l < model->place.layers;
    const LayerMemory *memory = here ? &model->memory[l] : NULL;
    const SlotRing *ring = !here ? NULL : compressed ? &memory->compressed : &memory->recent;
    int64_t slots = compressed ? o->compressed_memory[layer] : o->memory[layer];
    const char *name = compressed ? "compressed" : "recent";
    char folder[64], valid_name[32];
    snprintf(folder, sizeof folder, "/memory/layers/%02d", layer);
    snprintf(valid_name, sizeof valid_name, "valid_%s", name);

    CheckpointTensor *tensor =
        append(list, folder, name, STORED_REAL, (Shape){3, {all_rows, slots, o->width}});
    if (here && ring->kept > 0) fill_shards(list, tensor, model, memory, ring, rows);
    tensor = append(list, folder, valid_name, STORED_INT32, (Shape){1, {all_rows}});
    if (here && model->place.tensor_part == 0) fill_valid(list, tensor, memory, ring, rows);
}

/* --- saving and loading ----------------------------------------------------------------------- */

static void describe_whole(Parameters *whole, const ModelOptions *options)
{
    Placement place = placement_whole(options, 1);
    parameters_describe(whole, options, &place);
}

Status snapshot_save(const SnapshotParts *parts, const char *folder, const CheckpointState *state,
                     int keep, char path[PAL_PATH_SIZE])
{
    Model *model = parts->model;
    const Optimizer *optimizer = parts->optimizer;
    const Group *data = &parts->grid->data;
    Parameters whole;
    Snapshot list;
    describe_whole(&whole, &model->options);
    snapshot_begin(&list, 3 * whole.count + 4 * model->options.layers);
    append_weights(&list, &whole, model->parameters, data->size, data->rank, true);
    append_moments(&list, "/optimizer/first_moment", &whole, optimizer, optimizer->first_moment);
    append_moments(&list, "/optimizer/second_moment", &whole, optimizer, optimizer->second_moment);
    for (int l = 0; l < model->options.layers; l++)
        for (int compressed = 0; compressed < 2; compressed++)
            append_layer_memory(&list, model, l, compressed != 0, parts->rows, state->rows);
    Status status =
        checkpoint_save(&parts->grid->world, folder, state, list.tensors, list.count, keep, path);
    snapshot_end(&list);
    free(whole.table);
    return status;
}

Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group,
                             const ModelOptions *options, const Parameters *parameters)
{
    Parameters whole;
    Snapshot list;
    Status status = PAL_OK;
    describe_whole(&whole, options);
    snapshot_begin(&list, whole.count);
    append_weights(&list, &whole, parameters, 1, 0, false);
    for (int i = 0; status == PAL_OK && i < list.count; i++)
        status = checkpoint_read(checkpoint, &list.tensors[i]);
    snapshot_end(&list);
    free(whole.table);
    return group_agree(group, status);
}
