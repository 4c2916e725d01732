/* SPDX-License-Identifier: Apache-2.0
 *
 * For the files of mpi/: calls of MPI that wait for other ranks, and numbers as MPI counts them.
 */
#ifndef PAL_MPI_COUNTED_H
#define PAL_MPI_COUNTED_H

#include "mpi/check.h"
#include "mpi/transfers.h"
#include "src/base/timer.h"
#include "src/base/whereabouts.h"

#ifdef PAL_DOUBLE
#define PAL_MPI_REAL MPI_DOUBLE
#else
#define PAL_MPI_REAL MPI_FLOAT
#endif

/* Runs an MPI call that other ranks have to come to, counting its bytes and how long it took.
 * Nothing that was begun before stays behind: another rank may need it to come here. */
#define PAL_COUNTED(group, kind, sent, call)                            \
    do {                                                                \
        group_hand_over(group);                                         \
        double pal_start = timer_seconds();                             \
        whereabouts_meet(__func__, (group)->name);                      \
        PAL_MPI(call);                                                  \
        whereabouts_met();                                              \
        count_transfer(group, kind, sent, timer_seconds() - pal_start); \
    } while (0)

static inline void count_transfer(const Group *group, TrafficKind kind, double bytes,
                                  double seconds)
{
    group->traffic->bytes[kind] += bytes;
    group->traffic->wait_seconds[kind] += seconds;
}

static inline double all_reduce_bytes(const Group *group, double bytes)
{
    return 2.0 * (group->size - 1) / group->size * bytes;
}

static inline double real_bytes(int64_t count) { return (double)count * sizeof(Real); }

#endif
