/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot.h"

#include <string.h>

#include "io/checkpoint_state.h"
#include "mpi/collectives.h"
#include "src/run/snapshot_list.h"

/* Where the rows stand: every rank follows the order of all rows; one writes it. */
static void copy_cursors(const Snapshot *list, int tensor, void *to)
{
    const BatchOrder *order = list->parts.order;
    int64_t *numbers = to;
    for (int row = 0; row < order->rows; row++)
        numbers[row] = *cursor_field(&order->cursors[row], list->sources[tensor].field);
}

static void append_cursors(Snapshot *list)
{
    int64_t rows = list->parts.all_rows;
    for (int field = 0; field < NUM_CURSOR_FIELDS; field++) {
        SnapshotSource *source = snapshot_append(list, PAL_CURSORS, cursor_field_names[field],
                                                 STORED_INT64, (Shape){1, {rows}});
        if (!group_is_root(&list->parts.grid->world)) continue;
        snapshot_take_boxes(list, 1);
        snapshot_add_box(list, (Slab){{0}, {rows}});
        source->copy = copy_cursors;
        source->field = field;
    }
}

static void copy_losses(const Snapshot *list, int tensor, void *to)
{
    (void)tensor;
    memcpy(to, list->parts.losses, PAL_RECENT_LOSSES * sizeof *list->parts.losses);
}

/* PAL_LOSSES, which all ranks have and one writes. */
static void append_losses(Snapshot *list)
{
    SnapshotSource *source = snapshot_append(list, "/detector", "losses", STORED_FLOAT64,
                                             (Shape){1, {PAL_RECENT_LOSSES}});
    if (!group_is_root(&list->parts.grid->world)) return;
    snapshot_take_boxes(list, 1);
    snapshot_add_box(list, (Slab){{0}, {PAL_RECENT_LOSSES}});
    source->copy = copy_losses;
}

void snapshot_create(Snapshot *list, const SnapshotParts *parts, StoredType memory_type)
{
    snapshot_list_begin(list, parts);
    snapshot_append_weights(list);
    snapshot_append_memory(list, memory_type);
    if (parts->order == NULL) return;
    append_cursors(list);
    append_losses(list);
}

void snapshot_copy(const Snapshot *list, int tensor, void *to)
{
    if (list->sources[tensor].copy != NULL) list->sources[tensor].copy(list, tensor, to);
}

Status snapshot_load_steps(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    const Model *model = parts->model;
    PAL_TRY(snapshot_load_weights(checkpoint, &parts->grid->world, model->device, &model->options,
                                  model->parameters));
    return snapshot_load_moments(checkpoint, parts);
}

Status snapshot_load(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    const CheckpointState *state = &checkpoint->state;
    const Group *world = &parts->grid->world;
    PAL_TRY(snapshot_load_steps(checkpoint, parts));
    PAL_TRY(snapshot_load_memory(checkpoint, parts));
    return group_agree(world, batch_order_restore(parts->order, state->cursors, state->next));
}
