/* SPDX-License-Identifier: Apache-2.0
 *
 * The tensors of a run under their names in a checkpoint (spec: model, section 6): weights, moments
 * and memory. Here the model and io meet: io moves named boxes, this module knows which.
 */
#ifndef PAL_RUN_SNAPSHOT_H
#define PAL_RUN_SNAPSHOT_H

#include "io/checkpoint.h"
#include "mpi/partition.h"
#include "src/model/model.h"

/* Collective over the group (all ranks). Every rank writes a part of the weights, which all
 * have, and the memory of its own rows. */
Status snapshot_save(const Group *group, const char *folder, const CheckpointState *state,
                     Model *model, Range rows, int keep, char path[PAL_PATH_SIZE]);

/* Collective over the group the checkpoint was opened with. Weights only, all of them on every
 * rank. */
Status snapshot_load_weights(Checkpoint *checkpoint, const Group *group,
                             const Parameters *parameters);

#endif
