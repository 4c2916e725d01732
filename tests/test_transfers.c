/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers, exchanges and messages, at once and begun for later, on 1, 2, 3 and 4 ranks, with
 * numbers in host memory and apart from it (apart_device.h); and that their bytes are those of the
 * formulas of mpi/traffic.h.
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
#include "tests/apart_device.h"

enum { MOST_RANKS = 8, MOST_NUMBERS = 4096 };

/* Of the way that is being tested. */
static Device *device;
static Arena *arena;

static Real *on_device(const Real *from, int64_t count)
{
    return numbers_on(device, arena, from, count);
}

static void read_back(Real *to, const Real *from, int64_t count)
{
    numbers_read(device, to, from, count);
}

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
        Real *there = on_device(all, MOST_NUMBERS), *own = on_device(mine, MOST_NUMBERS);
        Real *placed = on_device(in_place, MOST_NUMBERS);
        group_all_gather(&grid.world, TRAFFIC_MEMORY, there, ranks == 1 ? there : own, count);
        group_all_gather(&grid.world, TRAFFIC_MEMORY, placed, placed + rank * count, count);
        read_back(all, there, MOST_NUMBERS);
        read_back(in_place, placed, MOST_NUMBERS);
        bool good = true;
        for (int64_t i = 0; i < ranks * count; i++) {
            Real expected = whole_number((int)(i / count), i % count);
            good = good && in_place[i] == expected && (ranks == 1 || all[i] == expected);
        }
        assert_on_all_ranks(good && all[ranks * count] == 0 && in_place[ranks * count] == 0);
    }
}

/* More than goes at once through host memory, and not a multiple of it. */
static void long_parts_are_gathered(void **state)
{
    (void)state;
    const int64_t count = STAGING_NUMBERS + STAGING_NUMBERS / 3 + 5;
    int ranks = grid.world.size, rank = grid.world.rank;
    Real *mine = malloc((size_t)count * sizeof *mine);
    Real *all = calloc((size_t)(ranks * count), sizeof *all);
    if (mine == NULL || all == NULL) abort();
    fill(mine, count, rank);
    Real *there = on_device(all, ranks * count), *own = on_device(mine, count);
    group_all_gather(&grid.world, TRAFFIC_MEMORY, there, ranks == 1 ? there : own, count);
    read_back(all, there, ranks * count);
    bool good = true;
    for (int64_t i = 0; i < ranks * count && ranks > 1; i++)
        good = good && all[i] == whole_number((int)(i / count), i % count);
    free(mine), free(all);
    assert_on_all_ranks(good);
}

/* Blocks that lie in the receiver by row and then by rank, as a window's positions do, and in the
 * sender the other way round; more of them than go at once. */
static bool exchange_is_good(int64_t blocks, int64_t length)
{
    int ranks = grid.world.size, rank = grid.world.rank;
    int64_t all = ranks * blocks * length;
    Real *sent = calloc((size_t)all, sizeof *sent), *received = calloc((size_t)all, sizeof *sent);
    if (sent == NULL || received == NULL) abort();
    for (int64_t i = 0; i < all; i++) {
        sent[i] = whole_number(rank, i);
        received[i] = -1;
    }
    Real *from_there = on_device(sent, all), *there = on_device(received, all);
    RankBlocks by_rank = {from_there, blocks * length, length};
    RankBlocks by_row = {there, length, ranks * length};
    group_exchange(&grid.world, TRAFFIC_ACTIVATIONS, by_row, by_rank, (int)blocks, length);
    read_back(received, there, all);
    bool good = true;
    for (int64_t i = 0; i < all; i++) {
        int64_t block = i / (ranks * length), place = i % length;
        int from = (int)(i / length % ranks);
        Real wanted = whole_number(from, (rank * blocks + block) * length + place);
        good = good && received[i] == (from == rank ? -1 : wanted);
    }
    free(sent), free(received);
    return good;
}

/* Also one number, blocks that are longer than what goes at once through host memory, and several
 * of which it holds some. */
static void blocks_are_exchanged(void **state)
{
    (void)state;
    const int64_t most = STAGING_NUMBERS;
    assert_on_all_ranks(exchange_is_good(600, 3));
    assert_on_all_ranks(exchange_is_good(1, 1));
    assert_on_all_ranks(exchange_is_good(2, most + 7));
    assert_on_all_ranks(exchange_is_good(5, most / 7));
    group_exchange(&grid.world, TRAFFIC_ACTIVATIONS, (RankBlocks){0}, (RankBlocks){0}, 0, 3);
}

/* As a window's positions are gathered: everyone gets the same. */
static void one_part_goes_to_all(void **state)
{
    (void)state;
    enum { BLOCKS = 3, LENGTH = 50 };
    int ranks = grid.world.size, rank = grid.world.rank;
    Real part[BLOCKS * LENGTH], whole[MOST_RANKS * BLOCKS * LENGTH] = {0};
    const int64_t all = (int64_t)ranks * BLOCKS * LENGTH;
    fill(part, BLOCKS * LENGTH, rank);
    Real *from_there = on_device(part, BLOCKS * LENGTH), *there = on_device(whole, all);
    group_exchange(&grid.world, TRAFFIC_ACTIVATIONS,
                   (RankBlocks){there, LENGTH, (int64_t)ranks * LENGTH},
                   (RankBlocks){from_there, 0, LENGTH}, BLOCKS, LENGTH);
    read_back(whole, there, all);
    bool good = true;
    for (int64_t i = 0; i < all; i++) {
        int from = (int)(i / LENGTH % ranks);
        int64_t block = i / ((int64_t)LENGTH * ranks);
        Real wanted = whole_number(from, block * LENGTH + i % LENGTH);
        good = good && whole[i] == (from == rank ? 0 : wanted);
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
    Real *to[ROUNDS], *from[ROUNDS], *own[ROUNDS];
    Transfer gathers[ROUNDS] = {0}, sums[ROUNDS] = {0};
    for (int n = 0; n < ROUNDS; n++) {
        int64_t total = uneven(n, counts[n], firsts[n]);
        fill(gathered[n] + firsts[n][rank], counts[n][rank], rank);
        fill(summed[n], total, rank);
        to[n] = on_device(gathered[n], MOST_NUMBERS);
        from[n] = on_device(summed[n], MOST_NUMBERS);
        own[n] = on_device(mine[n], MOST_NUMBERS);
        group_reserve(&grid.world, arena, &gathers[n], total + counts[n][rank]);
        group_reserve(&grid.world, arena, &sums[n], total + counts[n][rank]);
        group_all_gather_begin(&grid.world, TRAFFIC_WEIGHTS, &gathers[n], to[n],
                               to[n] + firsts[n][rank], counts[n], firsts[n]);
        group_reduce_scatter_begin(&grid.world, TRAFFIC_GRADIENTS, &sums[n], own[n], from[n],
                                   counts[n]);
        group_progress(&gathers[0]);
    }
    bool good = true;
    for (int n = 0; n < ROUNDS; n++) {
        group_wait(&sums[n]);
        group_wait(&gathers[n]);
        group_wait(&gathers[n]); /* once more: nothing to wait for */
        good = good && !sums[n].active && !gathers[n].active;
        read_back(gathered[n], to[n], MOST_NUMBERS);
        read_back(mine[n], own[n], MOST_NUMBERS);
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
    Real mine[MOST_NUMBERS] = {0}, all[MOST_NUMBERS] = {0};
    Transfer transfer = {0};
    uneven(1, counts, firsts);
    fill(mine, counts[rank], rank);
    Real *to = on_device(all, MOST_NUMBERS), *from = on_device(mine, MOST_NUMBERS);
    group_reserve(&grid.world, arena, &transfer, MOST_NUMBERS);
    group_all_gather_begin(&grid.world, TRAFFIC_WEIGHTS, &transfer, to, from, counts, firsts);
    while (transfer.active) group_progress(&transfer);
    read_back(all, to, MOST_NUMBERS);
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
    Real *from[2], *to[2];
    Transfer sent[2] = {0}, received[2] = {0};
    for (int n = 0; n < 2; n++) {
        fill(out[n], COUNT, rank + 10 * n);
        from[n] = on_device(out[n], COUNT);
        to[n] = on_device(in[n], COUNT);
        group_reserve_message(&grid.world, arena, &sent[n], COUNT);
        group_reserve_message(&grid.world, arena, &received[n], COUNT);
        group_receive_begin(&grid.world, TRAFFIC_PIPELINE, &received[n], to[n], COUNT, before);
    }
    for (int n = 0; n < 2; n++)
        group_send_begin(&grid.world, TRAFFIC_PIPELINE, &sent[n], from[n], COUNT, next);
    bool good = true;
    for (int n = 0; n < 2; n++) {
        group_wait(&received[n]);
        group_wait(&sent[n]);
        read_back(in[n], to[n], COUNT);
        for (int i = 0; i < COUNT; i++) good = good && in[n][i] == whole_number(before + 10 * n, i);
    }
    assert_on_all_ranks(good);
}

/* --- in order with the device ----------------------------------------------------------------- */

static void copy(Real *to, const Real *from, int64_t count)
{
    device_copy(device, tensor_1d(to, count), tensor_1d((Real *)(uintptr_t)from, count));
}

/* Round after round through the same numbers and the same room: the device writes what is sent
 * before, and afterwards what was received goes elsewhere and is written over. */
static void transfers_come_between_operations(void **state)
{
    (void)state;
    enum { COUNT = 64, ROUNDS = 5 };
    int ranks = grid.world.size, rank = grid.world.rank, counts[MOST_RANKS], firsts[MOST_RANKS];
    const int64_t all = (int64_t)ranks * COUNT;
    const Group *world = &grid.world;
    Real numbers[MOST_RANKS * COUNT] = {0};
    Transfer gather = {0}, sum = {0}, send = {0}, receive = {0};
    for (int r = 0; r < ranks; r++) counts[r] = COUNT, firsts[r] = r * COUNT;
    Real *whole = on_device(numbers, all), *own = on_device(numbers, COUNT);
    Real *mine = on_device(numbers, all), *letter = on_device(numbers, COUNT);
    Real *results = on_device(numbers, all);
    group_reserve(world, arena, &gather, all + COUNT);
    group_reserve(world, arena, &sum, all + COUNT);
    group_reserve_message(world, arena, &send, COUNT);
    group_reserve_message(world, arena, &receive, COUNT);
    bool good = true;
    for (int round = 0; round < ROUNDS && ranks > 1; round++) {
        fill(numbers, all, rank + 10 * round);
        const Real *fresh = on_device(numbers, all);
        copy(mine, fresh, all);
        int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
        group_receive_begin(world, TRAFFIC_PIPELINE, &receive, letter, COUNT, before);
        group_send_begin(world, TRAFFIC_PIPELINE, &send, mine, COUNT, next);
        group_all_gather_begin(world, TRAFFIC_MEMORY, &gather, whole, mine, counts, firsts);
        group_reduce_scatter_begin(world, TRAFFIC_GRADIENTS, &sum, own, mine, counts);
        group_wait(&receive);
        group_wait(&gather);
        group_wait(&sum);
        group_wait(&send);
        copy(mine, letter, COUNT); /* what was sent is free again */
        copy(results, whole, all);
        copy(whole, letter, COUNT);
        copy(letter, own, COUNT);
        Real sent[COUNT], gathered[MOST_RANKS * COUNT], summed[COUNT];
        read_back(sent, mine, COUNT);
        read_back(gathered, results, all);
        read_back(summed, letter, COUNT);
        for (int i = 0; i < COUNT; i++) {
            Real total = 0;
            for (int r = 0; r < ranks; r++)
                total += whole_number(r + 10 * round, (int64_t)rank * COUNT + i);
            good = good && sent[i] == whole_number(before + 10 * round, i) && summed[i] == total;
        }
        for (int i = 0; i < all; i++)
            good = good && gathered[i] == whole_number(i / COUNT + 10 * round, i % COUNT);
    }
    assert_on_all_ranks(good);
}

/* Without anything that makes the device come to rest: calls that wait find what the device was
 * asked for, and it finds what they have received. */
static void calls_come_between_operations(void **state)
{
    (void)state;
    enum { COUNT = 64 };
    int ranks = grid.world.size, rank = grid.world.rank;
    const int64_t all = (int64_t)ranks * COUNT;
    const Group *world = &grid.world;
    Real numbers[MOST_RANKS * COUNT] = {0};
    if (ranks == 1) return;
    Real *part = on_device(numbers, COUNT), *gathered = on_device(numbers, all);
    Real *exchanged = on_device(numbers, all), *sum = on_device(numbers, COUNT);
    fill(numbers, COUNT, rank);
    const Real *fresh = on_device(numbers, COUNT);
    copy(part, fresh, COUNT);
    group_all_gather(world, TRAFFIC_MEMORY, gathered, part, COUNT);
    copy(part, gathered, COUNT); /* of rank 0 */
    group_exchange(world, TRAFFIC_ACTIVATIONS, (RankBlocks){exchanged, COUNT, COUNT},
                   (RankBlocks){part, 0, COUNT}, 1, COUNT);
    int other = rank == 0 ? 1 : 0;
    copy(sum, exchanged + (int64_t)other * COUNT, COUNT);
    group_sum(world, TRAFFIC_GRADIENTS, sum, COUNT);
    copy(part, sum, COUNT);
    group_all_gather(world, TRAFFIC_MEMORY, gathered, part, COUNT);
    read_back(numbers, gathered, all);
    bool good = true;
    for (int i = 0; i < all; i++)
        good = good && numbers[i] == (Real)ranks * whole_number(0, i % COUNT);
    assert_on_all_ranks(good);
}

/* Through the same room, of a rank that only receives: what has arrived first is on its way up. */
static void messages_follow_each_other(void **state)
{
    (void)state;
    enum { COUNT = 30, MESSAGES = 3 };
    int rank = grid.world.rank;
    const Real zeros[COUNT] = {0};
    Transfer transfer = {0};
    if (grid.world.size == 1) return;
    group_reserve_message(&grid.world, arena, &transfer, COUNT);
    Real *there[MESSAGES], numbers[COUNT];
    for (int n = 0; n < MESSAGES; n++) {
        fill(numbers, COUNT, n);
        there[n] = on_device(rank == 0 ? numbers : zeros, COUNT);
    }
    for (int n = 0; n < MESSAGES && rank < 2; n++) {
        if (rank == 0)
            group_send_begin(&grid.world, TRAFFIC_PIPELINE, &transfer, there[n], COUNT, 1);
        else
            group_receive_begin(&grid.world, TRAFFIC_PIPELINE, &transfer, there[n], COUNT, 0);
        group_wait(&transfer);
    }
    bool good = true;
    for (int n = 0; n < MESSAGES; n++) {
        read_back(numbers, there[n], COUNT);
        for (int i = 0; i < COUNT; i++)
            good = good && numbers[i] == (rank < 2 ? whole_number(n, i) : 0);
    }
    assert_on_all_ranks(good);
}

/* A rank waits for a message that the other sends only when it has what both have begun: nothing
 * that was begun may stay behind. */
static void what_is_begun_does_not_wait_for_others(void **state)
{
    (void)state;
    enum { COUNT = 20 };
    int ranks = grid.world.size, rank = grid.world.rank, counts[MOST_RANKS], firsts[MOST_RANKS];
    const Group *world = &grid.world;
    Real numbers[MOST_RANKS * COUNT] = {0};
    Transfer gather = {0}, message = {0};
    if (ranks == 1) return;
    for (int r = 0; r < ranks; r++) counts[r] = COUNT, firsts[r] = r * COUNT;
    fill(numbers + (int64_t)rank * COUNT, COUNT, rank);
    Real *all = on_device(numbers, (int64_t)ranks * COUNT), *letter = on_device(numbers, COUNT);
    group_reserve(world, arena, &gather, (int64_t)(ranks + 1) * COUNT);
    group_reserve_message(world, arena, &message, COUNT);
    group_all_gather_begin(world, TRAFFIC_MEMORY, &gather, all, all + (int64_t)rank * COUNT, counts,
                           firsts);
    if (rank == 0) {
        group_receive_begin(world, TRAFFIC_PIPELINE, &message, letter, COUNT, 1);
        group_wait(&message);
    }
    group_wait(&gather);
    if (rank == 1) group_send_begin(world, TRAFFIC_PIPELINE, &message, all, COUNT, 0);
    group_wait(&message);
    read_back(numbers, rank == 0 ? letter : all, COUNT);
    bool good = true;
    for (int i = 0; i < COUNT; i++) good = good && numbers[i] == whole_number(0, i);
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
    const Real zeros[MOST_NUMBERS] = {0};
    Real *all = on_device(zeros, MOST_NUMBERS), *mine = on_device(zeros, MOST_NUMBERS);
    const Group *world = &grid.world;
    Transfer transfer = {0};
    group_reserve(world, arena, &transfer, MOST_NUMBERS);

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
    char bytes[100] = {0};
    group_broadcast(world, bytes, 100, ranks - 1);
    assert_on_all_ranks(sent_as(&before, TRAFFIC_SCALARS) ==
                        (ranks > 1 && rank == ranks - 1 ? 100.0 : 0.0));
}

static void a_message_counts_for_its_sender(void **state)
{
    (void)state;
    enum { COUNT = 33 };
    int ranks = grid.world.size, rank = grid.world.rank;
    if (ranks == 1) return;
    const Real zeros[COUNT] = {0};
    Real *numbers = on_device(zeros, COUNT);
    Transfer transfer = {0};
    group_reserve_message(&grid.world, arena, &transfer, COUNT);
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

/* --- the choice ------------------------------------------------------------------------------- */

/* Of a device that is apart: addresses of it only where MPI says, or somebody else, that it can. */
static void direct_is_refused_where_it_cannot_be(void **state)
{
    (void)state;
    Grid flat;
    Device *other = apart_device_create(false, false);
    Arena *room;
    assert_on_all_ranks(arena_create(&room, other) == PAL_OK);
    grid_create_flat(&flat);
    assert_on_all_ranks(unsetenv("PALIMPSEST_MPI_REACHES_DEVICE") == 0);
    Status asked = grid_use_device(&flat, other, room, DEVICE_MPI_DIRECT);
    bool refused = asked == PAL_ERROR_CONFIG && strstr(status_message(), "ompi_info") != NULL;
    assert_on_all_ranks(refused || (asked == PAL_OK && other->mpi_reaches_it));
    assert_on_all_ranks(grid_use_device(&flat, other, room, DEVICE_MPI_AUTO) == PAL_OK);
    if (flat.world.size > 1) /* one rank has nobody to hand addresses to, and nothing is refused */
        assert_on_all_ranks(other->mpi_reaches_it == !refused);
    assert_on_all_ranks(setenv("PALIMPSEST_MPI_REACHES_DEVICE", "1", 1) == 0);
    assert_on_all_ranks(grid_use_device(&flat, other, room, DEVICE_MPI_DIRECT) == PAL_OK);
    assert_on_all_ranks(other->mpi_reaches_it);
    assert_on_all_ranks(grid_use_device(&flat, other, room, DEVICE_MPI_STAGED) == PAL_OK);
    assert_on_all_ranks(!other->mpi_reaches_it);
    grid_destroy(&flat);
    arena_destroy(&room);
    device_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_gathered),
        cmocka_unit_test(long_parts_are_gathered),
        cmocka_unit_test(blocks_are_exchanged),
        cmocka_unit_test(one_part_goes_to_all),
        cmocka_unit_test(begun_gathers_and_sums_arrive),
        cmocka_unit_test(a_begun_gather_takes_its_part_from_anywhere),
        cmocka_unit_test(neighbours_send_and_receive),
        cmocka_unit_test(transfers_come_between_operations),
        cmocka_unit_test(calls_come_between_operations),
        cmocka_unit_test(messages_follow_each_other),
        cmocka_unit_test(what_is_begun_does_not_wait_for_others),
        cmocka_unit_test(bytes_are_those_of_the_formulas),
        cmocka_unit_test(a_message_counts_for_its_sender),
    };
    const struct CMUnitTest once[] = {
        cmocka_unit_test(kinds_have_names_and_differences),
        cmocka_unit_test(direct_is_refused_where_it_cannot_be),
    };
    int failures = start_ranks(NULL);
    for (Way way = WAY_SHARED; way < NUM_WAYS; way++) {
        if (way_begin(way, &grid, &device, &arena) != PAL_OK) return EXIT_FAILURE;
        failures += cmocka_run_group_tests_name(way_names[way], tests, NULL, NULL);
        way_end(&grid, &device, &arena);
    }
    failures += cmocka_run_group_tests(once, NULL, NULL);
    (void)stop_ranks(NULL);
    return failures;
}
