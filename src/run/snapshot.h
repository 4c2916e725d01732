/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensors of a run under their names in a checkpoint (spec: model, section 6): weights,
 * moments, memory, and where the rows stand in their books; each rank its part of them. Here the
 * model and io meet: io moves named boxes, this module knows which.
 */
#ifndef PAL_RUN_SNAPSHOT_H
#define PAL_RUN_SNAPSHOT_H

#include "io/batch_order.h"
#include "io/checkpoint.h"
#include "mpi/partition.h"
#include "src/model/model.h"
#include "src/optim/optimizer.h"
#include "src/run/training.h"

/* What a rank holds of a run. All borrowed. */
typedef struct SnapshotParts {
    const Grid *grid;
    Model *model;
    const Optimizer *optimizer;
    int all_rows;         /* R */
    Range rows;           /* this rank's of them */
    BatchOrder *order;    /* NULL: nothing is known of where rows stand */
    const double *losses; /* (PAL_RECENT_LOSSES) the same on every rank; goes with the order */
} SnapshotParts;

/* Local. Of a training. */
static inline SnapshotParts training_parts(Training *t)
{
    return (SnapshotParts){t->session->grid,
                           &t->model,
                           &t->optimizer,
                           t->session->config.batch.rows,
                           t->rows,
                           t->feed.order,
                           t->bad_steps.history.losses};
}

/* A list of tensors, the same on every rank, and where this rank has its part of each. */
typedef struct SnapshotSource SnapshotSource;
typedef struct Snapshot {
    SnapshotParts parts;
    CheckpointTensor *tensors; /* (count) */
    SnapshotSource *sources;   /* (count) */
    int count, room;
} Snapshot;

/* Local. All tensors, for saving: of what several ranks have, one has it here. memory_type: how the
 * memory's numbers are stored, STORED_FLOAT32 or STORED_BFLOAT16. */
void snapshot_create(Snapshot *list, const SnapshotParts *parts, StoredType memory_type);
void snapshot_destroy(Snapshot *list);

/* Local. Copies this rank's part of one tensor as it is now, box after box, as the file has it. */
void snapshot_copy(const Snapshot *list, int tensor, void *to);

/* Collective over all ranks. Everything but the model's options comes from the checkpoint. The file
 * may have other M and N: the newest slots are kept, missing ones are empty. */
Status snapshot_load(Checkpoint *checkpoint, const SnapshotParts *parts);

/* Collective over all ranks. What updates have changed, not where they stood: weights and moments.
 */
Status snapshot_load_steps(Checkpoint *checkpoint, const SnapshotParts *parts);

/* Collective over the group the checkpoint was opened with. Weights only: each rank its slices. */
Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group, Device *device,
                             const ModelOptions *options, const Parameters *parameters);

#endif
