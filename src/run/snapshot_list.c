/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/snapshot_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"

void snapshot_list_begin(Snapshot *list, const SnapshotParts *parts)
{
    *list = (Snapshot){.parts = *parts};
}

void snapshot_destroy(Snapshot *list)
{
    for (int i = 0; i < list->count; i++) free(list->sources[i].boxes);
    free(list->tensors);
    free(list->sources);
    *list = (Snapshot){0};
}

static void *grown(void *old, int count, int room, size_t size)
{
    void *larger = fatal_calloc(checked_size(room), size, "a list of tensors");
    if (count > 0) memcpy(larger, old, checked_size(count) * size);
    free(old);
    return larger;
}

static void make_room(Snapshot *list)
{
    if (list->count < list->room) return;
    list->room = 2 * list->room + 64;
    list->tensors = grown(list->tensors, list->count, list->room, sizeof *list->tensors);
    list->sources = grown(list->sources, list->count, list->room, sizeof *list->sources);
}

SnapshotSource *snapshot_append(Snapshot *list, const char *folder, const char *name,
                                StoredType type, Shape shape)
{
    make_room(list);
    int i = list->count++;
    CheckpointTensor *tensor = &list->tensors[i];
    *tensor = (CheckpointTensor){.type = type, .shape = shape};
    int length = snprintf(tensor->name, sizeof tensor->name, "%s/%s", folder, name);
    PAL_ASSERT(length > 0 && length < (int)sizeof tensor->name);
    return &list->sources[i];
}

void snapshot_take_boxes(Snapshot *list, int64_t most)
{
    SnapshotSource *source = &list->sources[list->count - 1];
    source->boxes = fatal_calloc(checked_size(most), sizeof(Slab), "a list of boxes");
    source->room = checked_int(most);
    list->tensors[list->count - 1].boxes = source->boxes;
}

void snapshot_add_box(Snapshot *list, Slab box)
{
    CheckpointTensor *tensor = &list->tensors[list->count - 1];
    SnapshotSource *source = &list->sources[list->count - 1];
    PAL_ASSERT(tensor->num_boxes < source->room);
    source->boxes[tensor->num_boxes++] = box;
}

bool snapshot_stored_as_is(StoredType type)
{
    return type == STORED_FLOAT32 && sizeof(Real) == sizeof(float);
}
