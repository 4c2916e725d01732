/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers, exchanges and messages, at once and begun for later, on 1, 2, 3 and 4 ranks; and
 * that their bytes are those of the formulas of mpi/traffic.h.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/collectives.h"
#include "src/base/random.h"
#include "tests/all_ranks.h"

enum { MOST_RANKS = 8, MOST_NUMBERS = 4096 };

/* Element i of what rank `rank` has; integers, so that sums are exact in any order. */
static Real whole_number(int rank, int64_t i) { return (Real)((rank + 1) * (i % 1000 + 1)); }

static Real sum_of_all(int64_t i)
{
    Real sum = 0;
    for (int r = 0; r < grid.world.size; r++) sum += whole_number(r, i);
    return sum;
}

static void fill(Real *to, int64_t count, int rank)
{
    for (int64_t i = 0; i < count; i++) to[i] = whole_number(rank, i);
}

/* Counts that differ, some of them 0. */
static int64_t uneven(int rounds, int *counts, int *firsts)
{
    int total = 0;
    for (int r = 0; r < grid.world.size; r++) {
        counts[r] = (r + rounds) % 3 * 17 + (r + rounds) % 2 * 100;
        firsts[r] = total;
        total += counts[r];
    }
    return total;
}

/* A group of one has its part already: nothing is touched. */
static void parts_are_gathered(void **state)
{
    (void)state;
    static const int64_t counts[] = {0, 1, 7, 500};
    int ranks = grid.world.size, rank = grid.world.rank;
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        int64_t count = counts[n];
        Real mine[MOST_NUMBERS] = {0}, all[MOST_NUMBERS] = {0}, in_place[MOST_NUMBERS] = {0};
        fill(mine, count, rank);
        fill(in_place + rank * count, count, rank);
        group_all_gather(&grid.world, TRAFFIC_MEMORY, all, ranks == 1 ? all : mine, count);
        group_all_gather(&grid.world, TRAFFIC_MEMORY, in_place, in_place + rank * count, count);
        bool good = true;
        for (int64_t i = 0; i < ranks * count; i++) {
            Real expected = whole_number((int)(i / count), i % count);
            good = good && in_place[i] == expected && (ranks == 1 || all[i] == expected);
        }
        assert_on_all_ranks(good && all[ranks * count] == 0 && in_place[ranks * count] == 0);
    }
}

/* Blocks that lie in the receiver by row and then by rank, as a window's positions do, and in the
 * sender the other way round; more of them than go at once. */
static void blocks_are_exchanged(void **state)
{
    (void)state;
    enum { BLOCKS = 600, LENGTH = 3, ALL = MOST_RANKS * BLOCKS * LENGTH };
    static Real sent[ALL], received[ALL];
    int ranks = grid.world.size, rank = grid.world.rank;
    int64_t all = (int64_t)ranks * BLOCKS * LENGTH;
    for (int64_t i = 0; i < all; i++) {
        sent[i] = whole_number(rank, i);
        received[i] = -1;
    }
    RankBlocks by_rank = {sent, (int64_t)BLOCKS * LENGTH, LENGTH};
    RankBlocks by_row = {received, LENGTH, (int64_t)ranks * LENGTH};
    group_exchange(&grid.world, TRAFFIC_ACTIVATIONS, by_row, by_rank, BLOCKS, LENGTH);
    bool good = true;
    for (int64_t i = 0; i < all; i++) {
        int64_t block = i / ((int64_t)ranks * LENGTH), place = i % LENGTH;
        int from = (int)(i / LENGTH % ranks);
        Real wanted = whole_number(from, (rank * (int64_t)BLOCKS + block) * LENGTH + place);
        good = good && received[i] == (from == rank ? -1 : wanted);
    }
    assert_on_all_ranks(good);
}

/* Several at once, as the optimiser has them. */
static void begun_gathers_and_sums_arrive(void **state)
{
    (void)state;
    enum { ROUNDS = 3 };
    int rank = grid.world.rank, counts[ROUNDS][MOST_RANKS], firsts[ROUNDS][MOST_RANKS];
    Real gathered[ROUNDS][MOST_NUMBERS] = {0}, summed[ROUNDS][MOST_NUMBERS] = {0};
    Real mine[ROUNDS][MOST_NUMBERS] = {0};
    Transfer gathers[ROUNDS] = {0}, sums[ROUNDS] = {0};
    for (int n = 0; n < ROUNDS; n++) {
        int64_t total = uneven(n, counts[n], firsts[n]);
        fill(gathered[n] + firsts[n][rank], counts[n][rank], rank);
        fill(summed[n], total, rank);
        group_all_gather_begin(&grid.world, TRAFFIC_WEIGHTS, &gathers[n], gathered[n],
                               gathered[n] + firsts[n][rank], counts[n], firsts[n]);
        group_reduce_scatter_begin(&grid.world, TRAFFIC_GRADIENTS, &sums[n], mine[n], summed[n],
                                   counts[n]);
        group_progress(&gathers[0]);
    }
    bool good = true;
    for (int n = 0; n < ROUNDS; n++) {
        group_wait(&sums[n]);
        group_wait(&gathers[n]);
        group_wait(&gathers[n]); /* once more: nothing to wait for */
        good = good && !sums[n].active && !gathers[n].active;
        for (int r = 0; r < grid.world.size; r++)
            for (int i = 0; i < counts[n][r]; i++)
                good = good && gathered[n][firsts[n][r] + i] == whole_number(r, i);
        for (int i = 0; i < counts[n][rank] && grid.world.size > 1; i++)
            good = good && mine[n][i] == sum_of_all(firsts[n][rank] + i);
        good = good && mine[n][counts[n][rank]] == 0;
    }
    assert_on_all_ranks(good);
}

/* From another place than the one in the whole. */
static void a_begun_gather_takes_its_part_from_anywhere(void **state)
{
    (void)state;
    int counts[MOST_RANKS], firsts[MOST_RANKS], rank = grid.world.rank;
    Real mine[MOST_NUMBERS], all[MOST_NUMBERS] = {0};
    Transfer transfer = {0};
    uneven(1, counts, firsts);
    fill(mine, counts[rank], rank);
    group_all_gather_begin(&grid.world, TRAFFIC_WEIGHTS, &transfer, all, mine, counts, firsts);
    while (transfer.active) group_progress(&transfer);
    bool good = true;
    for (int r = 0; r < grid.world.size && grid.world.size > 1; r++)
        for (int i = 0; i < counts[r]; i++) good = good && all[firsts[r] + i] == whole_number(r, i);
    assert_on_all_ranks(good);
}

/* Everyone to the next one, two messages at once: they arrive in order. */
static void neighbours_send_and_receive(void **state)
{
    (void)state;
    enum { COUNT = 1500 };
    int ranks = grid.world.size, rank = grid.world.rank;
    if (ranks == 1) return;
    int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
    Real out[2][COUNT], in[2][COUNT] = {0};
    Transfer sent[2] = {0}, received[2] = {0};
    for (int n = 0; n < 2; n++) {
        fill(out[n], COUNT, rank + 10 * n);
        group_receive_begin(&grid.world, TRAFFIC_PIPELINE, &received[n], in[n], COUNT, before);
    }
    for (int n = 0; n < 2; n++)
        group_send_begin(&grid.world, TRAFFIC_PIPELINE, &sent[n], out[n], COUNT, next);
    bool good = true;
    for (int n = 0; n < 2; n++) {
        group_wait(&received[n]);
        group_wait(&sent[n]);
        for (int i = 0; i < COUNT; i++) good = good && in[n][i] == whole_number(before + 10 * n, i);
    }
    assert_on_all_ranks(good);
}

/* --- what is counted ------------------------------------------------------------------------- */

static double sent_as(const Traffic *before, TrafficKind kind)
{
    Traffic difference = traffic_difference(&grid.traffic, before);
    bool alone = traffic_bytes(&difference) == difference.bytes[kind]; /* nothing under others */
    return alone && traffic_seconds(&difference) >= 0.0 ? difference.bytes[kind] : -1.0;
}

/* Thirds are rounded. */
static bool near(double found, double expected)
{
    return fabs(found - expected) <= 1e-12 * expected;
}

/* The formulas of mpi/traffic.h, n ranks, b bytes. */
static void bytes_are_those_of_the_formulas(void **state)
{
    (void)state;
    enum { COUNT = 120 };
    int ranks = grid.world.size, rank = grid.world.rank, counts[MOST_RANKS], firsts[MOST_RANKS];
    const double n = ranks, b = COUNT * (double)sizeof(Real);
    Real all[MOST_NUMBERS] = {0}, mine[MOST_NUMBERS] = {0};
    const Group *world = &grid.world;
    Transfer transfer = {0};

    Traffic before = grid.traffic;
    group_all_gather(world, TRAFFIC_MEMORY, all, all + (int64_t)rank * COUNT, COUNT);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_MEMORY) == (n - 1) * b);

    before = grid.traffic;
    RankBlocks to = {mine, COUNT / 4, 3}, from = {all, 0, 3};
    group_exchange(world, TRAFFIC_ACTIVATIONS, to, from, COUNT / 12, 3);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_ACTIVATIONS) == (n - 1) * b / 4);

    before = grid.traffic;
    group_sum(world, TRAFFIC_GRADIENTS, all, COUNT);
    assert_on_all_ranks(near(sent_as(&before, TRAFFIC_GRADIENTS), 2 * (n - 1) / n * b));

    /* Of parts of different lengths: a gather sends the own one to all others, sums send the
     * other ranks theirs. */
    int64_t total = uneven(1, counts, firsts);
    double own = counts[rank] * (double)sizeof(Real);
    before = grid.traffic;
    group_all_gather_begin(world, TRAFFIC_WEIGHTS, &transfer, all, all + firsts[rank], counts,
                           firsts);
    group_wait(&transfer);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_WEIGHTS) == (n - 1) * own);
    before = grid.traffic;
    group_reduce_scatter_begin(world, TRAFFIC_GRADIENTS, &transfer, mine, all, counts);
    group_wait(&transfer);
    double others = ranks == 1 ? 0.0 : (double)(total - counts[rank]) * sizeof(Real);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_GRADIENTS) == others);

    before = grid.traffic;
    double value = 1.0;
    group_sum_double(world, &value, 1);
    group_max_double(world, &value, 1);
    assert_on_all_ranks(near(sent_as(&before, TRAFFIC_SCALARS), 2 * (n - 1) / n * 16));
    before = grid.traffic;
    group_broadcast(world, all, 100, ranks - 1);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_SCALARS) ==
                        (ranks > 1 && rank == ranks - 1 ? 100.0 : 0.0));
}

static void a_message_counts_for_its_sender(void **state)
{
    (void)state;
    enum { COUNT = 33 };
    int ranks = grid.world.size, rank = grid.world.rank;
    if (ranks == 1) return;
    Real numbers[COUNT] = {0};
    Transfer transfer = {0};
    Traffic before = grid.traffic;
    if (rank == 0) group_send_begin(&grid.world, TRAFFIC_PIPELINE, &transfer, numbers, COUNT, 1);
    if (rank == 1) group_receive_begin(&grid.world, TRAFFIC_PIPELINE, &transfer, numbers, COUNT, 0);
    group_wait(&transfer);
    double expected = rank == 0 ? COUNT * (double)sizeof(Real) : 0.0;
    assert_on_all_ranks(sent_as(&before, TRAFFIC_PIPELINE) == expected);
}

static void kinds_have_names_and_differences(void **state)
{
    (void)state;
    Traffic before = {.bytes = {1, 2}, .wait_seconds = {0.5}}, after = before;
    after.bytes[TRAFFIC_SCALARS] += 8;
    after.wait_seconds[TRAFFIC_MEMORY] += 0.25;
    Traffic difference = traffic_difference(&after, &before);
    assert_on_all_ranks(difference.bytes[TRAFFIC_SCALARS] == 8 && traffic_bytes(&difference) == 8);
    assert_on_all_ranks(difference.wait_seconds[TRAFFIC_MEMORY] == 0.25 &&
                        traffic_seconds(&difference) == 0.25);
    bool named = true;
    for (int a = 0; a < TRAFFIC_COUNT; a++)
        for (int b = 0; b < a; b++)
            named =
                named && strcmp(traffic_name((TrafficKind)a), traffic_name((TrafficKind)b)) != 0;
    assert_on_all_ranks(named && strcmp(traffic_name(TRAFFIC_PIPELINE), "pipeline") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_gathered),
        cmocka_unit_test(blocks_are_exchanged),
        cmocka_unit_test(begun_gathers_and_sums_arrive),
        cmocka_unit_test(a_begun_gather_takes_its_part_from_anywhere),
        cmocka_unit_test(neighbours_send_and_receive),
        cmocka_unit_test(bytes_are_those_of_the_formulas),
        cmocka_unit_test(a_message_counts_for_its_sender),
        cmocka_unit_test(kinds_have_names_and_differences),
    };
    return cmocka_run_group_tests(tests, start_ranks, stop_ranks);
}
