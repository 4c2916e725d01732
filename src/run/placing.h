/* SPDX-License-Identifier: Apache-2.0
 *
 * From the process grid to what each rank holds: the grid's shape, the stages of the pipeline, the
 * placement of a model.
 */
#ifndef PAL_RUN_PLACING_H
#define PAL_RUN_PLACING_H

#include "io/config.h"
#include "mpi/grid.h"
#include "src/tensor/placement.h"

/* Collective over all ranks, with the same configuration: chooses the grid for `rows` rows (the
 * batch) and builds it. Says it in the log where there is more than one rank. Error
 * (configuration): nothing fits. */
Status placing_create_grid(Grid *grid, const Config *config, int rows);

/* Local. How many groups the rows of a replica are cut into: parallel.row_groups, or just so many
 * that the pipeline is well filled. most_rows: of the replica that has most. */
int placing_row_groups(const Grid *grid, const Config *config, int most_rows);

/* Local. What this rank holds of a model whose micro-batches have `rows` rows; micro_batches: of
 * the longest update, 0 without backward. */
Placement placing_make(const Grid *grid, const Config *config, int rows, int row_groups,
                       int micro_batches);

#endif
