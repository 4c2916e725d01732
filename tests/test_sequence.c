/* SPDX-License-Identifier: Apache-2.0
 *
 * A window divided along its positions and whole again, sums scattered over them, on 1, 2, 3 and 4
 * ranks, with one row and with several.
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

enum { POSITIONS = 5, WIDTH = 3 }; /* of a part */

typedef struct Fixture {
    Device *device;
    Arena *arena;
    Sequence sequence;
    Tensor part, whole; /* whole: its own storage also in a group of one */
} Fixture;

static void begin(Fixture *f, int rows)
{
    int ranks = grid.world.size;
    assert_int_equal(device_create_cpu(&f->device, 1), PAL_OK);
    assert_int_equal(arena_create(&f->arena, f->device), PAL_OK);
    sequence_create(&f->sequence, &grid.world, f->device, f->arena, rows, ranks * POSITIONS, WIDTH);
    f->part = arena_tensor_3d(f->arena, PURPOSE_WORKSPACE, rows, POSITIONS, WIDTH);
    f->whole = sequence_whole(&f->sequence, f->arena, PURPOSE_WORKSPACE, f->part);
    assert_int_equal(arena_seal(f->arena), PAL_OK);
}

static void end(Fixture *f)
{
    arena_destroy(&f->arena);
    device_destroy(&f->device);
}

/* What `rank` has for number i of row b of the whole; integers, so that sums are exact. */
static Real number(int rank, int b, int64_t i) { return (Real)(rank * 100000 + b * 1000 + i); }

static void parts_become_the_whole(void **state)
{
    (void)state;
    int ranks = grid.world.size, rank = grid.world.rank;
    const int64_t block = (int64_t)POSITIONS * WIDTH;
    for (int rows = 1; rows <= 3; rows++) {
        Fixture f;
        begin(&f, rows);
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < block; i++) f.part.data[b * block + i] = number(rank, b, i);
        sequence_gather(&f.sequence, TRAFFIC_ACTIVATIONS, f.whole, f.part);
        bool good = true;
        for (int b = 0; b < rows; b++)
            for (int p = 0; p < ranks; p++)
                for (int64_t i = 0; i < block; i++)
                    good = good && f.whole.data[(b * ranks + p) * block + i] == number(p, b, i);
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
        begin(&f, rows);
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < row; i++) f.whole.data[b * row + i] = number(rank, b, i);
        sequence_scatter(&f.sequence, TRAFFIC_ACTIVATIONS, f.part, f.whole);
        bool good = true;
        for (int b = 0; b < rows; b++)
            for (int64_t i = 0; i < block; i++) {
                Real sum = 0;
                for (int p = 0; p < ranks; p++) sum += number(p, b, rank * block + i);
                good = good && f.part.data[b * block + i] == sum;
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
    Real first[2 * POSITIONS * WIDTH];
    for (int round = 0; round < 4; round++) {
        for (int64_t i = 0; i < all; i++)
            f.whole.data[i] = (Real)random_normal(stream, (uint64_t)i);
        sequence_scatter(&f.sequence, TRAFFIC_ACTIVATIONS, f.part, f.whole);
        if (round == 0) memcpy(first, f.part.data, bytes);
        assert_on_all_ranks(same_bytes(first, f.part.data, bytes));
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
    return cmocka_run_group_tests(tests, start_ranks, stop_ranks);
}
