/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products of the CPU device against plain double-precision loops, in all combinations of
 * options.
 */
#include "tests/device_numbers.h"

static double element(Tensor x, bool transposed, int64_t i, int64_t j)
{
    int64_t columns = x.dims[1];
    return (double)(transposed ? tensor_reals(x)[j * columns + i]
                               : tensor_reals(x)[i * columns + j]);
}

static double expected_element(Tensor before, Tensor a, Tensor b, MatmulOptions options, int64_t i,
                               int64_t j, int64_t k)
{
    double sum = options.accumulate ? (double)tensor_reals(before)[i * before.dims[1] + j] : 0.0;
    for (int64_t p = 0; p < k; p++)
        sum += element(a, options.transpose_a, i, p) * element(b, options.transpose_b, p, j);
    if (tensor_exists(options.bias)) sum += (double)tensor_reals(options.bias)[j];
    return options.relu && sum < 0 ? 0 : sum;
}

static void check_product(Device *device, int64_t m, int64_t n, int64_t k, MatmulOptions options)
{
    Tensor a = options.transpose_a ? numbers(k, m, 1) : numbers(m, k, 1);
    Tensor b = options.transpose_b ? numbers(n, k, 2) : numbers(k, n, 2);
    Tensor before = numbers(m, n, 3), c = copy_of(before), again = copy_of(before);

    device->op->matmul(device, c, a, b, options);
    device->op->matmul(device, again, a, b, options);
    assert_same_bits(c, again);

    /* k products of numbers below 1 are summed in some order. Sums have a size of sqrt(k), so
     * each of the k additions rounds by about sqrt(k) spacings, and as many signs cancel to
     * sqrt(k) sqrt(k). A wrong term would be off by far more than this. */
    double tolerance = rounding * (8.0 + (double)k / 2.0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            assert_near(tensor_reals(c)[i * n + j],
                        expected_element(before, a, b, options, i, j, k), tolerance);
    release(a), release(b), release(before), release(c), release(again);
}

/* Bits of `which`: transpose a, transpose b, bias, then plain, accumulate or relu. */
static void check_combinations(Device *device, int64_t m, int64_t n, int64_t k)
{
    Tensor bias = numbers(1, n, 4);
    for (int which = 0; which < 24; which++) {
        MatmulOptions options = {.transpose_a = which & 1,
                                 .transpose_b = which & 2,
                                 .accumulate = which / 8 == 1,
                                 .relu = which / 8 == 2};
        if (which & 4) options.bias = bias;
        check_product(device, m, n, k, options);
    }
    release(bias);
}

static void check_all_combinations(Device *device)
{
    static const int64_t shapes[][3] = {{1, 1, 1},   {3, 17, 5},   {17, 3, 257},  {1, 257, 17},
                                        {257, 1, 3}, {64, 65, 63}, {130, 129, 3}, {5, 3, 0},
                                        {0, 3, 5},   {3, 0, 5},    {0, 0, 0},     {130, 127, 0}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        check_combinations(device, shapes[s][0], shapes[s][1], shapes[s][2]);
}

static void all_combinations_match_loops(void **state)
{
    (void)state;
    on_all_devices(check_all_combinations);
}

/* The tall gradients of weights are multiplied another way; their primitives are cached by
 * shape. */
static void check_tall(Device *device)
{
    for (int round = 0; round < 2; round++) {
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            MatmulOptions options = {.transpose_a = true, .accumulate = accumulate != 0};
            check_product(device, 1024, 33, 65, options);
            check_product(device, 1025, 17, 1, options);
            check_product(device, 1024, 33, 66, options);
        }
    }
}

static void tall_transposed_products_match_loops(void **state)
{
    (void)state;
    on_all_devices(check_tall);
}

static void check_operands_of_three_dimensions(Device *device)
{
    Tensor a = numbers(6, 5, 1), b = numbers(5, 7, 2), flat = numbers(6, 7, 3), c = copy_of(flat);
    device->op->matmul(device, flat, a, b, (MatmulOptions){0});
    device->op->matmul(device, tensor_3d(tensor_reals(c), 2, 3, 7),
                       tensor_3d(tensor_reals(a), 3, 2, 5), b, (MatmulOptions){0});
    assert_same_bits(c, flat);
    release(a), release(b), release(c), release(flat);
}

static void leading_dimensions_are_rows(void **state)
{
    (void)state;
    on_all_devices(check_operands_of_three_dimensions);
}

static void check_not_a_number(Device *device)
{
    Tensor a = numbers(2, 3, 1), b = numbers(3, 2, 2), c = numbers(2, 2, 3);
    tensor_reals(a)[0] = (Real)NAN;
    device->op->matmul(device, c, a, b, (MatmulOptions){.relu = true});
    assert_true(isnan(tensor_reals(c)[0]) && isnan(tensor_reals(c)[1]));
    assert_false(isnan(tensor_reals(c)[2]) || isnan(tensor_reals(c)[3]));
    release(a), release(b), release(c);
}

static void relu_does_not_hide_what_is_not_a_number(void **state)
{
    (void)state;
    on_all_devices(check_not_a_number);
}

static void operations_are_counted(void **state)
{
    (void)state;
    Device *device;
    PhaseTimes times = {.current = PHASE_FEED_FORWARD};
    assert_int_equal(device_create_cpu(&device, 1), PAL_OK);
    device->times = &times;
    check_product(device, 3, 5, 7, (MatmulOptions){0}); /* multiplies twice */
    assert_true(times.operations[PHASE_FEED_FORWARD] == 2.0 * 2.0 * 3 * 5 * 7);
    device_destroy(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_combinations_match_loops),
        cmocka_unit_test(tall_transposed_products_match_loops),
        cmocka_unit_test(leading_dimensions_are_rows),
        cmocka_unit_test(relu_does_not_hide_what_is_not_a_number),
        cmocka_unit_test(operations_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
