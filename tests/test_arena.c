/* SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: what they give out, what they count and how they fail.
 */
#include "tests/device_numbers.h"

#include "src/tensor/arena.h"

static void tensors_are_zero_aligned_and_counted(void **state)
{
    (void)state;
    Device *device;
    Arena *arena;
    assert_int_equal(device_create_cpu(&device, 1), PAL_OK);
    assert_int_equal(arena_create(&arena, device), PAL_OK);
    for (int64_t i = 0; i < 100; i++) { /* more than the list of blocks begins with */
        Tensor x = arena_tensor_3d(arena, PURPOSE_MEMORY, 2, 3, i);
        assert_true(tensor_exists(x)); /* also the empty one */
        assert_int_equal(tensor_count(x), 6 * i);
        assert_int_equal((uintptr_t)tensor_reals(x) % 64, 0);
        for (int64_t j = 0; j < 6 * i; j++) {
            assert_true(tensor_reals(x)[j] == 0);
            tensor_reals(x)[j] = 1;
        }
    }
    const char *host = arena_host(arena, PURPOSE_DATA, 17);
    assert_non_null(host);
    for (int i = 0; i < 17; i++) assert_int_equal(host[i], 0);

    assert_int_equal(arena_seal(arena), PAL_OK);
    assert_int_equal(arena_bytes(arena, PURPOSE_MEMORY), sizeof(Real) * 6 * 4950);
    assert_int_equal(arena_bytes(arena, PURPOSE_WEIGHTS), 0);
    assert_int_equal(arena_total_bytes(arena), sizeof(Real) * 6 * 4950 + 17);
    arena_destroy(&arena);
    assert_null(arena);
    arena_destroy(&arena);
    device_destroy(&device);
}

static void too_large_requests_are_reported_at_the_end(void **state)
{
    (void)state;
    Device *device;
    Arena *arena;
    assert_int_equal(device_create_cpu(&device, 1), PAL_OK);
    assert_int_equal(arena_create(&arena, device), PAL_OK);
    assert_true(tensor_exists(arena_tensor_1d(arena, PURPOSE_WEIGHTS, 5)));
    Tensor x = arena_tensor_2d(arena, PURPOSE_MEMORY, INT64_MAX / 2, 1024);
    assert_false(tensor_exists(x));
    assert_false(tensor_exists(arena_tensor_1d(arena, PURPOSE_WEIGHTS, 5)));
    assert_int_equal(arena_bytes(arena, PURPOSE_WEIGHTS), 10 * sizeof(Real));
    assert_int_equal(arena_seal(arena), PAL_ERROR_UNAVAILABLE);
    assert_non_null(strstr(status_message(), purpose_name(PURPOSE_MEMORY)));
    arena_destroy(&arena);
    device_destroy(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_zero_aligned_and_counted),
        cmocka_unit_test(too_large_requests_are_reported_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
