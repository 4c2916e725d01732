/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads for every rank, and cores for them: what a node's ranks were started on is divided among
 * those that were started on the same.
 */
#ifndef PAL_RUN_CORES_H
#define PAL_RUN_CORES_H

#include <stdbool.h>

#include "mpi/grid.h"

typedef struct Cores {
    int threads;         /* for this rank, the same number on all ranks */
    const char *binding; /* as a log line says it after the number of threads; "" for a lone rank */
} Cores;

/* Collective over all ranks; before the first OpenMP region, whose threads stay where the calling
 * thread is. `wanted` threads if given (> 0); else one for each core of this rank's share. Hardware
 * threads of one core count once.
 *
 * Ranks of a node that may use the same cores, because the launcher has bound none of them or
 * several to one socket, share these in the order of their ranks: neighbours in a tensor group get
 * neighbouring cores. With `bind` each of them keeps to its share from here on. Without it, with
 * more ranks than cores, or where OMP_PROC_BIND says that the user places threads, they stay where
 * the launcher put them. Warns of more threads than cores. */
Cores cores_take(const Grid *grid, int wanted, bool bind);

#endif
