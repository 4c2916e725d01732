/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the slots of a shared memory lie, against a search slot by slot and against ranks that keep
 * their slots of one window after the other in a plain queue.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/shard_order.h"

enum { MOST_PARTS = 4, MOST_BLOCK = 12, MOST_SLOTS = 40, WINDOWS = 50 };

/* The rank that keeps this slot of the whole: the newest block ends with the newest slot. */
static int keeper(ShardOrder order, int64_t slot)
{
    int64_t from_end = (order.slots - 1 - slot) % order.block;
    int64_t in_block = order.block - 1 - from_end;
    return (int)(in_block / (order.block / order.parts));
}

static void for_all_orders(void (*check)(ShardOrder))
{
    for (int parts = 1; parts <= MOST_PARTS; parts++)
        for (int64_t block = parts; block <= MOST_BLOCK; block += parts)
            for (int64_t slots = 0; slots <= MOST_SLOTS; slots++)
                check((ShardOrder){slots, block, parts});
}

/* Every rank's runs, one after the other, name the slots that it keeps, oldest first. */
static void check_runs(ShardOrder order)
{
    for (int part = 0; part < order.parts; part++) {
        int64_t in_shard = 0, number = 0, left = 0;
        ShardRun run = {0};
        for (int64_t slot = 0; slot < order.slots; slot++) {
            if (keeper(order, slot) != part) continue;
            if (left == 0) {
                assert_true(number < shard_runs(order, part));
                run = shard_run(order, part, number++);
                assert_true(run.count >= 1);
                assert_int_equal(run.shard, in_shard);
                left = run.count;
            }
            assert_int_equal(run.whole + run.count - left, slot);
            in_shard++;
            left--;
        }
        assert_int_equal(left, 0);
        assert_int_equal(number, shard_runs(order, part));
        assert_int_equal(in_shard, shard_slots(order, part));
    }
}

static void runs_name_the_slots_of_their_rank(void **state)
{
    (void)state;
    for_all_orders(check_runs);
}

/* After many windows the queues, put together by their runs, are the newest slots of all. */
static void check_queues(ShardOrder order)
{
    int64_t newest = WINDOWS * order.block, each = order.block / order.parts;
    int64_t whole[MOST_SLOTS], written = 0;
    for (int part = 0; part < order.parts; part++) {
        int64_t queue[MOST_SLOTS], kept = shard_slots(order, part);
        for (int64_t i = 0; i < kept; i++) queue[i] = -1;
        for (int64_t window = 0; window < WINDOWS; window++)
            for (int64_t i = 0; i < each && kept > 0; i++) {
                memmove(queue, queue + 1, (size_t)(kept - 1) * sizeof *queue);
                queue[kept - 1] = window * order.block + part * each + i;
            }
        for (int64_t n = 0; n < shard_runs(order, part); n++) {
            ShardRun run = shard_run(order, part, n);
            for (int64_t i = 0; i < run.count; i++) {
                assert_in_range(run.whole + i, 0, order.slots - 1);
                whole[run.whole + i] = queue[run.shard + i];
                written++;
            }
        }
    }
    assert_int_equal(written, order.slots);
    for (int64_t slot = 0; slot < order.slots; slot++)
        assert_int_equal(whole[slot], newest - order.slots + slot);
}

static void queues_of_all_ranks_make_the_memory(void **state)
{
    (void)state;
    for_all_orders(check_queues);
}

/* The picture in the header. */
static void the_documented_order(void **state)
{
    (void)state;
    const ShardOrder order = {10, 4, 2};
    const ShardRun first[] = {{2, 0, 2}, {6, 2, 2}}, second[] = {{0, 0, 2}, {4, 2, 2}, {8, 4, 2}};
    assert_int_equal(shard_slots(order, 0), 4);
    assert_int_equal(shard_slots(order, 1), 6);
    assert_int_equal(shard_runs(order, 0), 2);
    assert_int_equal(shard_runs(order, 1), 3);
    for (int n = 0; n < 2; n++) {
        ShardRun run = shard_run(order, 0, n);
        assert_memory_equal(&run, &first[n], sizeof run);
    }
    for (int n = 0; n < 3; n++) {
        ShardRun run = shard_run(order, 1, n);
        assert_memory_equal(&run, &second[n], sizeof run);
    }
}

/* Memories that are whole windows, as they mostly are, are shared equally. */
static void whole_windows_are_shared_equally(void **state)
{
    (void)state;
    for (int64_t windows = 0; windows <= 3; windows++)
        for (int part = 0; part < 4; part++)
            assert_int_equal(shard_slots((ShardOrder){windows * 512, 512, 4}, part), windows * 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_name_the_slots_of_their_rank),
        cmocka_unit_test(queues_of_all_ranks_make_the_memory),
        cmocka_unit_test(the_documented_order),
        cmocka_unit_test(whole_windows_are_shared_equally),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
