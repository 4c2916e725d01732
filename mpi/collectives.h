/* SPDX-License-Identifier: Apache-2.0
 *
 * What ranks do together. Every function is collective over its group unless it says otherwise,
 * makes no MPI call in a group of one, gives every rank the same bits, and on equally many ranks
 * the same bits again. `kind` says under what its bytes and its waiting are counted (traffic.h).
 *
 * Real * are numbers of the device, wherever its memory is (staging.h); no other memory is passed as
 * such. What the device was asked for before is in them, and what it is asked for later finds what
 * was received. Doubles and bytes are in host memory.
 */
#ifndef PAL_MPI_COLLECTIVES_H
#define PAL_MPI_COLLECTIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpi/grid.h"
#include "mpi/transfers.h" /* what is begun now and waited for later */
#include "src/base/status.h"
#include "src/tensor/dims.h"

/* values[i] = sum over the group of values[i], in place. */
void group_sum(const Group *group, TrafficKind kind, Real *values, int64_t count);

/* all (n, count) = everyone's mine (count). mine may be its own place in all. */
void group_all_gather(const Group *group, TrafficKind kind, Real *all, const Real *mine,
                      int64_t count);

/* Where the blocks for (from) the ranks of a group lie: block b of rank p begins at
 * start + p * rank_stride + b * block_stride. */
typedef struct RankBlocks {
    Real *start;
    int64_t rank_stride, block_stride;
} RankBlocks;

/* Every rank sends each other one `blocks` blocks of `length` numbers. Messages between pairs, in
 * place at both ends, each of them one copy within a node. Nobody's own blocks are touched. */
void group_exchange(const Group *group, TrafficKind kind, RankBlocks receive, RankBlocks send,
                    int blocks, int64_t length);

/* Of doubles and bytes: counted as scalars. */
void group_sum_double(const Group *group, double *values, int count);
void group_max_double(const Group *group, double *values, int count);
double group_mean_double(const Group *group, double value);
/* bytes[i] = bitwise or over the group, in place. */
void group_or(const Group *group, unsigned char *bytes, int count);
/* Everyone gets the root's bytes. */
void group_broadcast(const Group *group, void *bytes, size_t count, int root);
/* Waits until all have come; group_barrier counts it as waiting for scalars. */
void group_meet(const Group *group, TrafficKind kind);
static inline void group_barrier(const Group *group) { group_meet(group, TRAFFIC_SCALARS); }

/* A question that ranks put to each other while they go on with their work: the answer to one call
 * comes with the next. {0}: none is open. */
typedef struct Vote {
    MPI_Request request;
    int most;
    bool open;
} Vote;

/* The largest number that a rank has brought to the call before; 0 for the first. */
int group_vote(const Group *group, Vote *vote, int mine);
/* Local. Whether all have brought their number to the last call, so that the next does not wait. */
bool group_vote_ready(const Group *group, Vote *vote);
/* The largest number of the last call. */
int group_vote_end(const Group *group, Vote *vote);

/* No rank decides alone: when any rank brings a failure, every rank returns the failure of the
 * lowest such rank, with its message. */
Status group_agree(const Group *group, Status mine);

/* True for the rank that acts and speaks for the group. */
static inline bool group_is_root(const Group *group) { return group->rank == 0; }

#endif
