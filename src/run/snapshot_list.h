/* SPDX-License-Identifier: Apache-2.0
 *
 * How a snapshot is put together, for the snapshot*.c files: a list of tensors, the same on every
 * rank, to which each rank adds the boxes that it has. What is saved and what is loaded are such
 * lists, so that the two cannot disagree about which box is where.
 */
#ifndef PAL_RUN_SNAPSHOT_LIST_H
#define PAL_RUN_SNAPSHOT_LIST_H

#include "src/run/snapshot.h"

/* Where a tensor's numbers are on this rank, and how they get into a file's bytes. */
struct SnapshotSource {
    void (*copy)(const Snapshot *snapshot, int tensor, void *to);
    Slab *boxes; /* (room) owned */
    int room;
    Real *numbers;             /* weights and moments: they stand there as in the boxes */
    const LayerMemory *memory; /* memory and valid counts */
    const SlotRing *ring;
    int field; /* cursors: which member of RowCursor */
};

/* Local. An empty list; snapshot_destroy() frees it. */
void snapshot_list_begin(Snapshot *list, const SnapshotParts *parts);

/* Local. A tensor FOLDER/NAME of which this rank has nothing yet. What is returned is good until
 * the next one. */
SnapshotSource *snapshot_append(Snapshot *list, const char *folder, const char *name,
                                StoredType type, Shape shape);
/* Local. Of the tensor that was appended last: room for so many boxes, then box after box. */
void snapshot_take_boxes(Snapshot *list, int64_t most);
void snapshot_add_box(Snapshot *list, Slab box);

/* Local. Whether the file has such numbers as they are in memory. */
bool snapshot_stored_as_is(StoredType type);

/* Local: what is to be saved of this rank's weights and moments, and of all layers' memory. */
void snapshot_append_weights(Snapshot *list);
void snapshot_append_memory(Snapshot *list, StoredType type);

/* Collective over all ranks. snapshot_load_weights() is in snapshot.h. */
Status snapshot_load_moments(Checkpoint *checkpoint, const SnapshotParts *parts);
Status snapshot_load_memory(Checkpoint *checkpoint, const SnapshotParts *parts);

#endif
