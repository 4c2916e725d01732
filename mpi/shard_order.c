/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/shard_order.h"

#include "src/base/status.h"

/* Block 0 is the oldest one, of which the first `cut` slots are gone. */
static int64_t cut_of(ShardOrder order)
{
    return (order.block - order.slots % order.block) % order.block;
}

/* What rank `part` has left of block 0: slots [*first, end of its range) of the block. */
static int64_t oldest_run(ShardOrder order, int part, int64_t *first)
{
    int64_t each = order.block / order.parts, begin = part * each, cut = cut_of(order);
    *first = cut > begin ? cut : begin;
    return *first < begin + each ? begin + each - *first : 0;
}

static int64_t blocks_of(ShardOrder order) { return (order.slots + order.block - 1) / order.block; }

int64_t shard_slots(ShardOrder order, int part)
{
    PAL_ASSERT(order.block % order.parts == 0 && part >= 0 && part < order.parts);
    int64_t first;
    if (order.slots == 0) return 0;
    return oldest_run(order, part, &first) + (blocks_of(order) - 1) * (order.block / order.parts);
}

int64_t shard_runs(ShardOrder order, int part)
{
    int64_t first;
    if (order.slots == 0) return 0;
    return blocks_of(order) - (oldest_run(order, part, &first) == 0);
}

ShardRun shard_run(ShardOrder order, int part, int64_t number)
{
    PAL_ASSERT(number >= 0 && number < shard_runs(order, part));
    int64_t each = order.block / order.parts, cut = cut_of(order), first;
    int64_t oldest = oldest_run(order, part, &first);
    if (oldest > 0 && number == 0) return (ShardRun){first - cut, 0, oldest};
    int64_t block = number + (oldest == 0);
    return (ShardRun){block * order.block + part * each - cut, oldest + (block - 1) * each, each};
}
