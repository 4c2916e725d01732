/* SPDX-License-Identifier: Apache-2.0
 *
 * `evaluate --losses FILE.h5`: the nats of every token, one float32 dataset /documents/NAME/nats a
 * document, in reading order; /documents/NAME/dynamic_nats where the weights learned on the way. The
 * file appears whole or not at all.
 */
#ifndef PAL_RUN_LOSSES_FILE_H
#define PAL_RUN_LOSSES_FILE_H

#include "io/dataset.h"
#include "mpi/grid.h"

/* Collective over the group. quantity: "nats" or "dynamic_nats". nats[d]: all losses of document d on
 * the one rank that read it, NULL on the others. */
Status losses_file_write(const char *path, const Group *group, const DataSplit *split,
                         const char *quantity, float *const *nats);

#endif
