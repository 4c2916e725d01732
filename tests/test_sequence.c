/* SPDX-License-Identifier: Apache-2.0
 *
 * A window divided along its positions and whole again, sums scattered over them, on 1, 2, 3 and 4
 * ranks, with one row and with several; with numbers in host memory and apart from it
 * (apart_device.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/checked.h"
#include "src/base/random.h"
#include "src/layers/parallel_sequence.h"
#include "tests/all_ranks.h"
#include "tests/apart_device.h"

enum { POSITIONS = 5, WIDTH = 3 }; /* of a part */

static Way way; /* that is being tested */

typedef struct Fixture {
    Device *device;
    Arena *arena;
    Sequence sequence;
    Tensor part, whole; /* whole: its own storage also in a group of one */
} Fixture;

static void begin(Fixture *f, int rows)
{
    int ranks = grid.world.size;
    assert_on_all_ranks(way_begin(way, &grid, &f->device, &f->arena) == PAL_OK);
    sequence_create(&f->sequence, &grid.world, f->device, f->arena, rows, ranks * POSITIONS, WIDTH);
    f->part = arena_tensor_3d(f->arena, PURPOSE_WORKSPACE, rows, POSITIONS, WIDTH);
    f->whole = sequence_whole(&f->sequence, f->arena, PURPOSE_WORKSPACE, f->part);
    assert_int_equal(arena_seal(f->arena), PAL_OK);
}

static void end(Fixture *f) { way_end(&grid, &f->device, &f->arena); }

enum { MOST_NUMBERS = 4 * 3 * POSITIONS * WIDTH };

static void put(Fixture *f, Tensor x, const Real *from)
{
    f->device->op->upload(f->device, x, from);
}
static void get(Fixture *f, Real *to, Tensor x) { f->device->op->download(f->device, to, x); }

/* What `rank` has for number i of row b of the whole; integers, so that sums are exact. */
static Real number(int rank, int b, int64_t i) { return (Real)(rank * 100000 + b * 1000 + i); }

static void parts_become_the_whole(void **state)
{
    (void)state;
    int ranks = grid.world.size, rank = grid.world.rank;
    const int64_t block = (int64_t)POSITIONS * WIDTH;
    for (int rows = 1; rows <= 3; rows++) {
        Fixture f;
        Real numbers[MOST_NUMBERS];
        begin(&f, rows);
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < block; i++) numbers[b * block + i] = number(rank, b, i);
        put(&f, f.part, numbers);
        sequence_gather(&f.sequence, TRAFFIC_ACTIVATIONS, f.whole, f.part);
        get(&f, numbers, f.whole);
        bool good = true;
        for (int b = 0; b < rows; b++)
            for (int p = 0; p < ranks; p++)
                for (int64_t i = 0; i < block; i++)
                    good = good && numbers[(b * ranks + p) * block + i] == number(p, b, i);
        assert_on_all_ranks(good);
        end(&f);
    }
}

static void sums_are_scattered(void **state)
{
    (void)state;
    int ranks = grid.world.size, rank = grid.world.rank;
    const int64_t block = (int64_t)POSITIONS * WIDTH, row = ranks * block;
    for (int rows = 1; rows <= 3; rows++) {
        Fixture f;
        Real numbers[MOST_NUMBERS];
        begin(&f, rows);
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < row; i++) numbers[b * row + i] = number(rank, b, i);
        put(&f, f.whole, numbers);
        sequence_scatter(&f.sequence, TRAFFIC_ACTIVATIONS, f.part, f.whole);
        get(&f, numbers, f.part);
        bool good = true;
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < block; i++) {
                Real sum = 0;
                for (int p = 0; p < ranks; p++) sum += number(p, b, rank * block + i);
                good = good && numbers[b * block + i] == sum;
            }
        assert_on_all_ranks(good);
        end(&f);
    }
}

static void sums_repeat_bit_by_bit(void **state)
{
    (void)state;
    Fixture f;
    begin(&f, 2);
    size_t count = checked_size(tensor_count(f.part)), bytes = count * sizeof(Real);
    int64_t all = tensor_count(f.whole);
    RandomStream stream = random_stream((uint64_t)grid.world.rank, "test");
    Real first[2 * POSITIONS * WIDTH], numbers[MOST_NUMBERS];
    for (int round = 0; round < 4; round++) {
        for (int64_t i = 0; i < all; i++) numbers[i] = (Real)random_normal(stream, (uint64_t)i);
        put(&f, f.whole, numbers);
        sequence_scatter(&f.sequence, TRAFFIC_ACTIVATIONS, f.part, f.whole);
        get(&f, numbers, f.part);
        if (round == 0) memcpy(first, numbers, bytes);
        assert_on_all_ranks(same_bytes(first, numbers, bytes));
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_become_the_whole),
        cmocka_unit_test(sums_are_scattered),
        cmocka_unit_test(sums_repeat_bit_by_bit),
    };
    int failures = start_ranks(NULL);
    for (way = WAY_SHARED; way < NUM_WAYS; way++)
        failures += cmocka_run_group_tests_name(way_names[way], tests, NULL, NULL);
    (void)stop_ranks(NULL);
    return failures;
}
