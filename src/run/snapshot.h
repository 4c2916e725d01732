/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensors of a run under their names in a checkpoint (spec: model, section 6): weights, moments
 * and memory, each rank its part of them. Here the model and io meet: io moves named boxes, this
 * module knows which.
 */
#ifndef PAL_RUN_SNAPSHOT_H
#define PAL_RUN_SNAPSHOT_H

#include "io/checkpoint.h"
#include "mpi/partition.h"
#include "src/model/model.h"
#include "src/optim/optimizer.h"

/* What a rank holds of a run. All borrowed. */
typedef struct SnapshotParts {
    const Grid *grid;
    Model *model;
    const Optimizer *optimizer;
    Range rows; /* of R */
} SnapshotParts;

/* Collective over all ranks. Weights that several ranks have are written by one of them. */
Status snapshot_save(const SnapshotParts *parts, const char *folder, const CheckpointState *state,
                     int keep, char path[PAL_PATH_SIZE]);

/* Collective over the group the checkpoint was opened with. Weights only: each rank its slices. */
Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group,
                             const ModelOptions *options, const Parameters *parameters);

#endif
