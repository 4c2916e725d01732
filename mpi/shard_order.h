/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the slots of a memory lie that a tensor group shares: pure arithmetic, no communication,
 * tested without MPI.
 *
 * A memory is the newest `slots` of an endless row of blocks, each of `block` slots, one a window;
 * rank p of P keeps slots [p block / P, (p + 1) block / P) of every block. The oldest block may be
 * cut off in front. So each rank keeps a constant number of slots, and what it keeps is, oldest
 * first, a list of runs within the whole:
 *
 *     block 4, P 2, slots 10:   .. c d | e f g h | i j k l      rank 0:  e f, i j
 *                               whole  0 1  2 3 4 5  6 7 8 9    rank 1:  c d, g h, k l
 */
#ifndef PAL_MPI_SHARD_ORDER_H
#define PAL_MPI_SHARD_ORDER_H

#include <stdint.h>

typedef struct ShardOrder {
    int64_t slots; /* of the whole memory */
    int64_t block; /* slots of one window; a multiple of `parts` */
    int parts;     /* P */
} ShardOrder;

/* Neighbours in the whole memory that are neighbours in a shard too. */
typedef struct ShardRun {
    int64_t whole, shard, count; /* slots [whole, whole + count) lie at [shard, shard + count) */
} ShardRun;

/* Local. How many slots rank `part` keeps. */
int64_t shard_slots(ShardOrder order, int part);

/* Local. How many runs rank `part` has, and the run of this number, 0 the oldest. */
int64_t shard_runs(ShardOrder order, int part);
ShardRun shard_run(ShardOrder order, int part, int64_t number);

#endif
