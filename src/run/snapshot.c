/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "mpi/collectives.h"

enum { NAME_SIZE = 128 };

/* A list under construction; names live beside their tensors. */
typedef struct Snapshot {
    CheckpointTensor *tensors;
    char (*names)[NAME_SIZE];
    int count, most;
} Snapshot;

static Status snapshot_begin(Snapshot *list, int most)
{
    *list = (Snapshot){.most = most};
    list->tensors = calloc((size_t)most, sizeof *list->tensors);
    list->names = calloc((size_t)most, sizeof *list->names);
    if (list->tensors == NULL || list->names == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "checkpoint: no memory for a list of %d tensors", most);
    return PAL_OK;
}

static void snapshot_end(Snapshot *list)
{
    free(list->tensors);
    free(list->names);
}

static Shape shape_of(Tensor x)
{
    Shape shape = {.num_dims = x.num_dims};
    for (int i = 0; i < x.num_dims; i++) shape.dims[i] = x.dims[i];
    return shape;
}

/* The next free name, for the caller to print into. */
static char *next_name(const Snapshot *list) { return list->names[list->count]; }

static void append(Snapshot *list, StoredType type, Shape shape, Range part, void *data)
{
    list->tensors[list->count] =
        checkpoint_rows(next_name(list), type, shape, part.first, part.count, data);
    list->count++;
}

/* A flat buffer's tensors; this rank's part of each is a range of its rows. */
static void append_parameters(Snapshot *list, const char *folder, const Parameters *parameters,
                              Tensor flat, int parts, int part)
{
    for (int i = 0; i < parameters->count; i++) {
        const Parameter *row = &parameters->table[i];
        Tensor whole = parameter_view(row, flat);
        Range range = partition_range(whole.dims[0], parts, part);
        snprintf(next_name(list), NAME_SIZE, "%s/%s", folder, row->name);
        append(list, STORED_REAL, shape_of(whole), range,
               tensor_slice(whole, range.first, range.count).data);
    }
}

static void append_memory(Snapshot *list, Model *model, Range rows, int64_t all_rows)
{
    for (int l = 0; l < model->options.layers; l++) {
        LayerMemory *memory = &model->memory[l];
        struct {
            const char *name;
            Tensor tensor;
            int *valid;
        } parts[] = {{"recent", memory->recent, memory->valid_recent},
                     {"compressed", memory->compressed, memory->valid_compressed}};
        for (int i = 0; i < 2; i++) {
            Shape shape = shape_of(parts[i].tensor);
            shape.dims[0] = all_rows;
            snprintf(next_name(list), NAME_SIZE, "/memory/layers/%02d/%s", l, parts[i].name);
            append(list, STORED_REAL, shape, rows, parts[i].tensor.data);
            snprintf(next_name(list), NAME_SIZE, "/memory/layers/%02d/valid_%s", l, parts[i].name);
            append(list, STORED_INT32, (Shape){1, {all_rows}}, rows, parts[i].valid);
        }
    }
}

Status snapshot_save(const Group *group, const char *folder, const CheckpointState *state,
                     Model *model, Range rows, int keep, char path[PAL_PATH_SIZE])
{
    const Parameters *p = model->parameters;
    Snapshot list;
    Status status = snapshot_begin(&list, 3 * p->count + 4 * model->options.layers);
    if (status == PAL_OK) {
        append_parameters(&list, "/weights", p, p->value, group->size, group->rank);
        append_parameters(&list, "/optimizer/first_moment", p, p->first_moment, group->size,
                          group->rank);
        append_parameters(&list, "/optimizer/second_moment", p, p->second_moment, group->size,
                          group->rank);
        append_memory(&list, model, rows, state->rows);
    }
    status = group_agree(group, status);
    if (status == PAL_OK)
        status = checkpoint_save(group, folder, state, list.tensors, list.count, keep, path);
    snapshot_end(&list);
    return status;
}

Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group,
                             const Parameters *parameters)
{
    Snapshot list;
    Status status = snapshot_begin(&list, parameters->count);
    if (status == PAL_OK) append_parameters(&list, "/weights", parameters, parameters->value, 1, 0);
    status = group_agree(group, status);
    for (int i = 0; status == PAL_OK && i < list.count; i++)
        status = checkpoint_read(checkpoint, &list.tensors[i]);
    snapshot_end(&list);
    return status;
}
