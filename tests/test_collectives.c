/* SPDX-License-Identifier: Apache-2.0
 *
 * What ranks do together, started on 1, 2, 3 and 4 of them. A failed cmocka assertion leaves one
 * rank alone and the others wait; so every check ends with a verdict that all ranks share.
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

#include "mpi/check.h"
#include "mpi/collectives.h"
#include "mpi/grid.h"
#include "src/base/random.h"

static Grid grid;

/* The verdict does not go through the functions that are tested. */
static bool on_all_ranks(bool good)
{
    int all = good;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, grid.world.comm));
    return all != 0;
}

#define assert_on_all_ranks(condition)                                                  \
    do {                                                                                \
        bool holds_here = (condition);                                                  \
        if (!holds_here) fprintf(stderr, "rank %d: %s\n", grid.world.rank, #condition); \
        assert_true(on_all_ranks(holds_here));                                          \
    } while (0)

static bool same_bytes(const void *a, const void *b, size_t count)
{
    return memcmp(a, b, count) == 0;
}

/* True when all ranks hold the same bytes. */
static bool same_everywhere(const void *bytes, size_t count)
{
    char *root = malloc(count);
    if (root == NULL) abort();
    memcpy(root, bytes, count);
    PAL_MPI(MPI_Bcast(root, (int)count, MPI_BYTE, 0, grid.world.comm));
    bool same = same_bytes(root, bytes, count);
    free(root);
    return same;
}

static double number(int rank, int64_t i)
{
    RandomStream stream = random_substream(random_stream(1, "test"), (uint64_t)rank, 0);
    return random_normal(stream, (uint64_t)i);
}

static void sums_are_those_of_all_ranks(void **state)
{
    (void)state;
    enum { COUNT = 1001 };
    Real sum[COUNT], again[COUNT];
    for (int i = 0; i < COUNT; i++) sum[i] = again[i] = (Real)number(grid.world.rank, i);
    group_sum(&grid.world, sum, COUNT);
    group_sum(&grid.world, again, COUNT);

    bool near = true;
    for (int i = 0; i < COUNT; i++) {
        double expected = 0.0, size = 0.0;
        for (int r = 0; r < grid.world.size; r++) {
            expected += number(r, i);
            size += fabs(number(r, i));
        }
        near = near && fabs((double)sum[i] - expected) <= 1e-6 * size; /* single precision */
    }
    assert_on_all_ranks(near);
    assert_on_all_ranks(same_bytes(sum, again, sizeof sum));
    assert_on_all_ranks(same_everywhere(sum, sizeof sum));
}

static void nothing_is_summed_of_nothing(void **state)
{
    (void)state;
    Real value = 3;
    group_sum(&grid.world, &value, 0);
    assert_on_all_ranks(value == (Real)3);
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

/* The sizes multiply to all ranks, and each rank's places say where it stands: tensor fastest. */
static bool stands_right(GridShape shape)
{
    int place =
        (grid.data.rank * shape.pipeline + grid.pipeline.rank) * shape.tensor + grid.tensor.rank;
    return grid.data.size == shape.data && grid.pipeline.size == shape.pipeline &&
           grid.tensor.size == shape.tensor && place == grid.world.rank;
}

static void a_flat_grid_is_all_data(void **state)
{
    (void)state;
    assert_on_all_ranks(stands_right((GridShape){grid.world.size, 1, 1}));
    assert_on_all_ranks(grid.node.size == grid.world.size); /* the tests run on one machine */
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
            assert_on_all_ranks(grid_create(&grid, shape) == PAL_OK);
            assert_on_all_ranks(stands_right(shape));
            double members = 1.0;
            group_sum_double(&grid.data, &members, 1);
            assert_on_all_ranks(members == data);
            /* What is left automatic is found. */
            assert_on_all_ranks(grid_create(&grid, (GridShape){0, pipeline, tensor}) == PAL_OK);
            assert_on_all_ranks(stands_right(shape));
        }
    }
    assert_on_all_ranks(grid_create(&grid, (GridShape){0, 0, 0}) == PAL_OK);
    assert_on_all_ranks(stands_right((GridShape){ranks, 1, 1}));
}

static void wrong_products_are_refused_and_change_nothing(void **state)
{
    (void)state;
    int ranks = grid.world.size;
    const GridShape wrong[] = {{ranks + 1, 1, 1}, {1, ranks + 1, 1},    {1, 1, ranks + 1},
                               {0, 1, ranks + 1}, {0, ranks + 1, 1},    {ranks, 2, 0},
                               {65536, 65536, 1}, {1 << 20, 256, 1024}, {0, 65536, 65536}};
    char found[32];
    snprintf(found, sizeof found, "but %d were started", ranks);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_on_all_ranks(grid_create(&grid, wrong[i]) == PAL_ERROR_CONFIG);
        assert_on_all_ranks(strstr(status_message(), found) != NULL);
        assert_on_all_ranks(strstr(status_message(), "parallel.data = auto") != NULL);
        assert_on_all_ranks(stands_right((GridShape){ranks, 1, 1}));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_all_ranks),
        cmocka_unit_test(nothing_is_summed_of_nothing),
        cmocka_unit_test(doubles_are_summed_and_compared),
        cmocka_unit_test(every_rank_can_broadcast),
        cmocka_unit_test(all_agree_that_nothing_failed),
        cmocka_unit_test(all_hear_of_a_failure),
        cmocka_unit_test(long_messages_arrive_whole),
        cmocka_unit_test(a_flat_grid_is_all_data),
        cmocka_unit_test(shapes_with_the_right_product_are_made),
        cmocka_unit_test(wrong_products_are_refused_and_change_nothing),
    };
    mpi_start(&argc, &argv);
    grid_create_flat(&grid);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    grid_destroy(&grid);
    mpi_stop();
    return failed;
}
