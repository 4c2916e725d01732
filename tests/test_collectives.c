/* SPDX-License-Identifier: Apache-2.0
 *
 * What ranks do together, and the groups of the grid, on 1, 2, 3 and 4 ranks; sums also of numbers
 * that are apart from the host (apart_device.h).
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

static double number(int rank, int64_t i)
{
    RandomStream stream = random_substream(random_stream(1, "test"), (uint64_t)rank, 0);
    return random_normal(stream, (uint64_t)i);
}

/* Of the way that is being tested. */
static Device *device;
static Arena *arena;

/* The sum over the ranks of their numbers, back on the host. */
static void sum_there(Real *sum, int64_t count)
{
    Real *there = numbers_on(device, arena, sum, count);
    group_sum(&grid.world, TRAFFIC_GRADIENTS, there, count);
    numbers_read(device, sum, there, count);
}

static bool sums_are_right(const Real *sum, int64_t count)
{
    bool near = true;
    int64_t step = count > 2000 ? 97 : 1; /* of many numbers some */
    for (int64_t i = 0; i < count; i += step) {
        double expected = 0.0, size = 0.0;
        for (int r = 0; r < grid.world.size; r++) {
            expected += number(r, i);
            size += fabs(number(r, i));
        }
        near = near && fabs((double)sum[i] - expected) <= 1e-6 * size; /* single precision */
    }
    return near;
}

/* Few, and more than go at once through host memory. */
static void sums_are_those_of_all_ranks(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 1001, 2 * STAGING_NUMBERS + 3};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        int64_t count = counts[n];
        size_t bytes = (size_t)count * sizeof(Real);
        Real *sum = malloc(bytes), *again = malloc(bytes);
        if (sum == NULL || again == NULL) abort();
        for (int64_t i = 0; i < count; i++) {
            bool looked_at = count <= 2000 || i % 97 == 0;
            sum[i] = again[i] = looked_at ? (Real)number(grid.world.rank, i) : (Real)(i % 7);
        }
        sum_there(sum, count);
        sum_there(again, count);
        assert_on_all_ranks(sums_are_right(sum, count));
        assert_on_all_ranks(same_bytes(sum, again, bytes));
        assert_on_all_ranks(same_everywhere(&grid.world, sum, bytes));
        free(sum), free(again);
    }
}

static void nothing_is_summed_of_nothing(void **state)
{
    (void)state;
    const Real three = 3;
    Real value = 0, *there = numbers_on(device, arena, &three, 1);
    group_sum(&grid.world, TRAFFIC_GRADIENTS, there, 0);
    numbers_read(device, &value, there, 1);
    assert_on_all_ranks(value == three);
}

static void doubles_are_summed_and_compared(void **state)
{
    (void)state;
    int ranks = grid.world.size;
    double sums[3] = {1.0, grid.world.rank, 0x1p-50};
    double largest[2] = {grid.world.rank, -grid.world.rank};
    group_sum_double(&grid.world, sums, 3);
    group_max_double(&grid.world, largest, 2);
    assert_on_all_ranks(sums[0] == ranks && sums[1] == ranks * (ranks - 1) / 2.0);
    assert_on_all_ranks(sums[2] == ranks * 0x1p-50);
    assert_on_all_ranks(largest[0] == ranks - 1 && largest[1] == 0.0);
}

static void every_rank_can_broadcast(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    for (int root = 0; root < grid.world.size; root++) {
        unsigned char bytes[COUNT];
        for (int i = 0; i < COUNT; i++) bytes[i] = (unsigned char)(grid.world.rank * 31 + i);
        group_broadcast(&grid.world, bytes, COUNT, root);
        bool good = true;
        for (int i = 0; i < COUNT; i++) good = good && bytes[i] == (unsigned char)(root * 31 + i);
        assert_on_all_ranks(good);
    }
    group_broadcast(&grid.world, NULL, 0, 0);
    group_barrier(&grid.world);
}

static void bits_of_all_ranks_are_joined(void **state)
{
    (void)state;
    unsigned char bytes[] = {(unsigned char)(1 << grid.world.rank), 0, 64};
    group_or(&grid.world, bytes, 3);
    assert_on_all_ranks(bytes[0] == (1 << grid.world.size) - 1 && bytes[1] == 0 && bytes[2] == 64);
}

static Status fail_as(int rank)
{
    PAL_FAIL(rank % 2 == 0 ? PAL_ERROR_DATA : PAL_ERROR_IO, "rank %d found a wolf", rank);
}

static void all_agree_that_nothing_failed(void **state)
{
    (void)state;
    status_set_message("of before");
    Status status = group_agree(&grid.world, PAL_OK);
    assert_on_all_ranks(status == PAL_OK);
    assert_on_all_ranks(strcmp(status_message(), "of before") == 0);
}

/* Each rank in turn, and then two at once: the lower one is heard. */
static void all_hear_of_a_failure(void **state)
{
    (void)state;
    int ranks = grid.world.size, rank = grid.world.rank;
    for (int first = 0; first < ranks; first++) {
        for (int second = first; second < ranks; second++) {
            char expected[64];
            snprintf(expected, sizeof expected, "rank %d found a wolf", first);
            status_set_message("of before");
            Status mine = rank == first || rank == second ? fail_as(rank) : PAL_OK;
            Status status = group_agree(&grid.world, mine);
            assert_on_all_ranks(status == (first % 2 == 0 ? PAL_ERROR_DATA : PAL_ERROR_IO));
            assert_on_all_ranks(strcmp(status_message(), expected) == 0);
        }
    }
}

static void long_messages_arrive_whole(void **state)
{
    (void)state;
    char long_message[2000];
    memset(long_message, 'x', sizeof long_message);
    long_message[sizeof long_message - 1] = '\0';
    Status mine = PAL_OK;
    if (grid.world.rank == grid.world.size - 1) {
        status_set_message(long_message);
        mine = PAL_ERROR_CONFIG;
    }
    assert_on_all_ranks(group_agree(&grid.world, mine) == PAL_ERROR_CONFIG);
    assert_on_all_ranks(strcmp(status_message(), long_message) == 0);
}

/* --- the grid -------------------------------------------------------------------------------- */

/* The sizes multiply to all ranks, and each rank's places say where it stands: tensor fastest. */
static bool stands_right(GridShape shape)
{
    int place =
        (grid.data.rank * shape.pipeline + grid.pipeline.rank) * shape.tensor + grid.tensor.rank;
    return grid.data.size == shape.data && grid.pipeline.size == shape.pipeline &&
           grid.tensor.size == shape.tensor && place == grid.world.rank;
}

static void votes_are_answered_by_the_next_call(void **state)
{
    (void)state;
    const Group *world = &grid.world;
    Vote vote = {0};
    bool first = group_vote_ready(world, &vote) && group_vote(world, &vote, world->rank + 5) == 0;
    while (!group_vote_ready(world, &vote)) continue;
    assert_on_all_ranks(first);
    assert_on_all_ranks(group_vote(world, &vote, 3 - world->rank) == world->size + 4);
    assert_on_all_ranks(group_vote_end(world, &vote) == 3);
    assert_on_all_ranks(group_vote_ready(world, &vote) && group_vote_end(world, &vote) == 3);
}

static void a_flat_grid_is_all_data(void **state)
{
    (void)state;
    assert_on_all_ranks(stands_right((GridShape){grid.world.size, 1, 1}));
    assert_on_all_ranks(grid.node.size == grid.world.size); /* the tests run on one machine */
}

/* The number of ranks that meet in a group, the lowest and the highest number among all ranks. */
static bool members_are(const Group *group, int size, int lowest, int highest)
{
    double count = 1.0, ends[] = {-grid.world.rank, grid.world.rank};
    group_sum_double(group, &count, 1);
    group_max_double(group, ends, 2);
    return count == size && ends[0] == -lowest && ends[1] == highest;
}

static bool groups_hold_the_right_ranks(GridShape shape)
{
    int rank = grid.world.rank, tensor = shape.tensor, stages = shape.pipeline;
    int block = tensor * stages, first = rank - grid.tensor.rank;
    int top = rank - grid.pipeline.rank * tensor, last = top + (stages - 1) * tensor;
    int stage = grid.pipeline.rank;
    bool end = stage == 0 || stage == stages - 1;
    bool good = members_are(&grid.tensor, tensor, first, first + tensor - 1);
    good = members_are(&grid.pipeline, stages, top, last) && good;
    good = members_are(&grid.data, shape.data, rank % block,
                       rank % block + (shape.data - 1) * block) &&
           good;
    int ends = !end || stages == 1 ? 1 : 2;
    return members_are(&grid.ends, ends, end ? top : rank, end ? last : rank) && good;
}

static void shapes_with_the_right_product_are_made(void **state)
{
    (void)state;
    int ranks = grid.world.size;
    for (int data = 1; data <= ranks; data++) {
        for (int pipeline = 1; data * pipeline <= ranks; pipeline++) {
            int tensor = ranks / (data * pipeline);
            if (data * pipeline * tensor != ranks) continue;
            GridShape shape = {data, pipeline, tensor};
            grid_create(&grid, shape);
            assert_on_all_ranks(stands_right(shape));
            assert_on_all_ranks(groups_hold_the_right_ranks(shape));
            assert_on_all_ranks(grid_tensor_in_node(&grid));
        }
    }
    grid_create(&grid, (GridShape){ranks, 1, 1});
    assert_on_all_ranks(stands_right((GridShape){ranks, 1, 1}));
}

int main(void)
{
    const struct CMUnitTest of_numbers[] = {
        cmocka_unit_test(sums_are_those_of_all_ranks),
        cmocka_unit_test(nothing_is_summed_of_nothing),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_summed_and_compared),
        cmocka_unit_test(every_rank_can_broadcast),
        cmocka_unit_test(bits_of_all_ranks_are_joined),
        cmocka_unit_test(all_agree_that_nothing_failed),
        cmocka_unit_test(all_hear_of_a_failure),
        cmocka_unit_test(long_messages_arrive_whole),
        cmocka_unit_test(votes_are_answered_by_the_next_call),
        cmocka_unit_test(a_flat_grid_is_all_data),
        cmocka_unit_test(shapes_with_the_right_product_are_made),
    };
    int failures = start_ranks(NULL);
    for (Way way = WAY_SHARED; way < NUM_WAYS; way++) {
        if (way_begin(way, &grid, &device, &arena) != PAL_OK) return EXIT_FAILURE;
        failures += cmocka_run_group_tests_name(way_names[way], of_numbers, NULL, NULL);
        way_end(&grid, &device, &arena);
    }
    failures += cmocka_run_group_tests(tests, NULL, NULL);
    (void)stop_ranks(NULL);
    return failures;
}
