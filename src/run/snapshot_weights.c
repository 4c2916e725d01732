/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights and moments of a snapshot.
 */
#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/run/snapshot_list.h"

static void copy_numbers(const Snapshot *list, int tensor, void *to)
{
    const CheckpointTensor *t = &list->tensors[tensor];
    Device *device = list->parts.model->device;
    Tensor numbers = tensor_1d(list->sources[tensor].numbers, checkpoint_numbers(t));
    if (snapshot_stored_as_is(t->type)) {
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
        SnapshotSource *source = snapshot_append(list, "/weights", whole->table[i].name,
                                                 STORED_FLOAT32, whole_shape(&whole->table[i]));
        if (row == NULL || (owner_only && !row->owner)) continue;
        Range range = partition_range(row->dims[0], parts, part);
        snapshot_take_boxes(list, 1);
        snapshot_add_box(list, slice_rows(row, range.first, range.count));
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
        snapshot_add_box(list, box);
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
            snapshot_append(list, folder, name, STORED_FLOAT32, whole_shape(&whole->table[i]));
        const Parameter *row = parameters_find(optimizer->parameters, name);
        if (row == NULL || (owner_only && !row->owner)) continue;
        snapshot_take_boxes(list, 3 * (int64_t)count_segments(optimizer, row));
        for (int s = 0; s < optimizer->num_segments; s++) {
            const Segment *segment = &optimizer->segments[s];
            if (segment->row != row) continue;
            if (source->numbers == NULL) source->numbers = tensor_reals(moments) + segment->owned;
            int64_t first = segment->flat - row->offset;
            add_range(list, row, first, first + segment->count);
        }
        source->copy = copy_numbers;
    }
}

static void append_both_moments(Snapshot *list, const Parameters *whole, bool owner_only)
{
    const Optimizer *o = list->parts.optimizer;
    append_moments(list, "/optimizer/first_moment", whole, o, o->first_moment, owner_only);
    append_moments(list, "/optimizer/second_moment", whole, o, o->second_moment, owner_only);
}

/* The table of the whole model; the caller frees its rows. */
static Parameters describe_whole(const ModelOptions *options)
{
    Parameters whole;
    Placement place = placement_whole(options, 1);
    parameters_describe(&whole, options, &place);
    return whole;
}

void snapshot_append_weights(Snapshot *list)
{
    const Model *model = list->parts.model;
    const Group *data = &list->parts.grid->data;
    Parameters whole = describe_whole(&model->options);
    append_weights(list, &whole, model->parameters, data->size, data->rank, true);
    append_both_moments(list, &whole, true);
    free(whole.table);
}

/* --- loading ---------------------------------------------------------------------------------- */

/* Files are read into host memory: the device's own where it is that. */
static Status load_tensor(Checkpoint *checkpoint, Device *device, const CheckpointTensor *tensor,
                          Real *numbers)
{
    if (device->shares_memory) return checkpoint_read(checkpoint, tensor, numbers);
    int64_t count = checkpoint_numbers(tensor);
    Real *on_host = fatal_calloc(checked_size(count) + 1, sizeof *on_host, "numbers of a tensor");
    Status status = checkpoint_read(checkpoint, tensor, on_host);
    if (status == PAL_OK && count > 0)
        device->op->upload(device, tensor_1d(numbers, count), on_host);
    free(on_host);
    return status;
}

/* Tensors whose numbers stand in memory as in their boxes. */
static Status load_numbers(Checkpoint *checkpoint, Device *device, const Snapshot *list)
{
    for (int i = 0; i < list->count; i++) {
        CheckpointTensor tensor = list->tensors[i];
        tensor.type = STORED_REAL;
        PAL_TRY(load_tensor(checkpoint, device, &tensor, list->sources[i].numbers));
    }
    return PAL_OK;
}

Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group, Device *device,
                             const ModelOptions *options, const Parameters *parameters)
{
    Snapshot list;
    Parameters whole = describe_whole(options);
    snapshot_list_begin(&list, &(SnapshotParts){0});
    append_weights(&list, &whole, parameters, 1, 0, false);
    Status status = load_numbers(checkpoint, device, &list);
    snapshot_destroy(&list);
    free(whole.table);
    return group_agree(group, status);
}

Status snapshot_load_moments(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    Snapshot list;
    Parameters whole = describe_whole(&parts->model->options);
    snapshot_list_begin(&list, parts);
    append_both_moments(&list, &whole, false);
    Status status = load_numbers(checkpoint, parts->model->device, &list);
    snapshot_destroy(&list);
    free(whole.table);
    return status;
}
