/* SPDX-License-Identifier: Apache-2.0
 *
 * How many ranks go into each dimension of the process grid: arithmetic without communication.
 */
#ifndef PAL_MPI_GRID_SHAPE_H
#define PAL_MPI_GRID_SHAPE_H

#include "src/base/status.h"

/* Sizes of the three dimensions; as a wish, 0 means automatic. */
typedef struct GridShape {
    int data, pipeline, tensor;
} GridShape;

/* A rank's place in each dimension: tensor varies fastest. */
typedef struct GridPlace {
    int data, pipeline, tensor;
} GridPlace;

/* Local. */
GridPlace grid_place(GridShape shape, int rank);

/* What the work can be cut into. */
typedef struct GridLimits {
    int ranks;          /* that were started */
    int ranks_per_node; /* a tensor group chosen automatically stays within one node */
    int rows;           /* data <= rows */
    int layers;         /* pipeline <= layers */
    /* tensor divides all of these: */
    int heads, feed_forward, window_groups; /* window_groups: T / c */
} GridLimits;

/* Local; the same answer on every rank for the same arguments. Of all shapes whose product is the
 * number of ranks and that fit the wish and the limits: the one with the most data ranks, of these
 * the one with the most tensor ranks.
 * Error (configuration): there is none; the message lists those that the limits allow. */
Status grid_shape_choose(GridShape *chosen, GridShape wish, const GridLimits *l);

#endif
