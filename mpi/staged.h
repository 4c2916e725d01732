/* SPDX-License-Identifier: Apache-2.0
 *
 * For collectives.c: what waits for its end, with numbers of a device that MPI does not read and
 * write itself. They pass through host memory in pieces (staging.h), which all ranks cut alike;
 * counted like the calls without pieces. Groups of two ranks and more.
 */
#ifndef PAL_MPI_STAGED_H
#define PAL_MPI_STAGED_H

#include "mpi/collectives.h"

/* Collective over the group, as the functions of collectives.h. */
void staged_sum(const Group *group, TrafficKind kind, Real *values, int64_t count);
void staged_all_gather(const Group *group, TrafficKind kind, Real *all, const Real *mine,
                       int64_t count);
void staged_exchange(const Group *group, TrafficKind kind, RankBlocks receive, RankBlocks send,
                     int blocks, int64_t length);

#endif
