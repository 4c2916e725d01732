/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot.h"

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

void snapshot_create(Snapshot *list, const SnapshotParts *parts, StoredType memory_type)
{
    snapshot_list_begin(list, parts);
    snapshot_append_weights(list);
    snapshot_append_memory(list, memory_type);
    if (parts->order != NULL) append_cursors(list);
}

void snapshot_copy(const Snapshot *list, int tensor, void *to)
{
    if (list->sources[tensor].copy != NULL) list->sources[tensor].copy(list, tensor, to);
}

Status snapshot_load(Checkpoint *checkpoint, const SnapshotParts *parts)
{
    const Model *model = parts->model;
    const CheckpointState *state = &checkpoint->state;
    const Group *world = &parts->grid->world;
    PAL_TRY(snapshot_load_weights(checkpoint, world, &model->options, model->parameters));
    PAL_TRY(snapshot_load_moments(checkpoint, parts));
    PAL_TRY(snapshot_load_memory(checkpoint, parts));
    return group_agree(world, batch_order_restore(parts->order, state->cursors, state->next));
}
