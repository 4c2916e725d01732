/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks that compute slower than the others and so keep all of them waiting: a node that is too
 * hot, shares its cores with other work, or has a broken part. Measured is the time in updates less
 * the time of waiting for other ranks.
 */
#ifndef PAL_RUN_STRAGGLERS_H
#define PAL_RUN_STRAGGLERS_H

#include <stdbool.h>

#include "mpi/grid.h"

typedef struct Stragglers {
    const Grid *grid; /* borrowed; NULL: nobody looks */
    double factor;    /* of the median, from which on a rank is slow */
    double interval;  /* seconds of the slowest between two verdicts */
    double own;       /* of this rank since the latest look */
    double *seconds;  /* (ranks) since the latest verdict */
    double *peers;    /* (ranks) scratch */
    bool *named;      /* (ranks) slow at the latest verdict */
    char *hosts;      /* (ranks, PAL_HOST_SIZE) */
} Stragglers;

/* Collective over all ranks. factor 0, or one rank alone: nobody looks. */
void stragglers_create(Stragglers *stragglers, const Grid *grid, double factor, double interval);
void stragglers_destroy(Stragglers *stragglers);

/* Local. So many seconds of an update this rank has computed. */
void stragglers_add(Stragglers *stragglers, double seconds);

/* Collective over all ranks, at the same updates. Ranks are compared with those of their pipeline
 * stage; one that is alone in it is never slow. The log names those that have become slow, with
 * host, and those that no longer are. */
void stragglers_look(Stragglers *stragglers);

#endif
