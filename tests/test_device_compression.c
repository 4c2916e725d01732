/* SPDX-License-Identifier: Apache-2.0
 *
 * The compression primitives of the CPU device against plain loops; the backward pass by the
 * adjoint identity.
 */
#include "tests/device_numbers.h"

static void check_pools(Device *device, int64_t batch, int64_t length, int64_t rate, int64_t width)
{
    int64_t groups = length / rate;
    Tensor x = numbers(batch * length, width, 1), y = numbers(batch * groups, width, 2);
    Tensor highest = copy_of(y);
    Tensor x3 = tensor_3d(tensor_reals(x), batch, length, width);
    device->op->pool_mean(device, tensor_3d(tensor_reals(y), batch, groups, width), x3);
    device->op->pool_max(device, tensor_3d(tensor_reals(highest), batch, groups, width), x3);
    for (int64_t i = 0; i < batch * groups * width; i++) {
        double sum = 0, largest = -INFINITY;
        for (int64_t r = 0; r < rate; r++) {
            double value = (double)tensor_reals(x)[(i / width * rate + r) * width + i % width];
            sum += value;
            largest = fmax(largest, value);
        }
        assert_near(tensor_reals(y)[i], sum / (double)rate, 4 * rounding);
        assert_true((double)tensor_reals(highest)[i] == largest);
    }
    release(x), release(y), release(highest);
}

static void check_pairs(Device *device, int64_t batch, int64_t length, int64_t width, int distance)
{
    int64_t rows = batch * length;
    Tensor x = numbers(rows, width, 1), y = numbers(rows, 2 * width, 2);
    Tensor x3 = tensor_3d(tensor_reals(x), batch, length, width);
    device->op->pair_with_earlier(device, tensor_3d(tensor_reals(y), batch, length, 2 * width), x3,
                                  distance);
    for (int64_t i = 0; i < rows * 2 * width; i++) {
        int64_t row = i / (2 * width), column = i % (2 * width);
        Real expected = column >= width ? tensor_reals(x)[row * width + column - width]
                        : row % length < distance
                            ? 0
                            : tensor_reals(x)[(row - distance) * width + column];
        assert_true(tensor_reals(y)[i] == expected);
    }

    /* The adjoint, since the operation is linear: dy . y(x) = (what backward adds) . x */
    Tensor dy = numbers(rows, 2 * width, 3), dx = numbers(rows, width, 4), before = copy_of(dx);
    device->op->pair_with_earlier_backward(
        device, tensor_3d(tensor_reals(dx), batch, length, width), dy, distance);
    double forward = 0, backward = 0;
    for (int64_t i = 0; i < rows * 2 * width; i++)
        forward += (double)tensor_reals(dy)[i] * (double)tensor_reals(y)[i];
    for (int64_t i = 0; i < rows * width; i++)
        backward += ((double)tensor_reals(dx)[i] - (double)tensor_reals(before)[i]) *
                    (double)tensor_reals(x)[i];
    assert_near(backward, forward, 4 * rounding * (double)(1 + rows * width));
    release(x), release(y), release(dy), release(dx), release(before);
}

static void check_selection(Device *device, int64_t batch, int64_t length, int64_t count,
                            int64_t width)
{
    Tensor x = numbers(batch * length, width, 1), y = numbers(batch * count, width, 2);
    int32_t chosen[512];
    for (int64_t i = 0; i < batch * count; i++) chosen[i] = (int32_t)(i * 7 % length);
    device->op->select_rows(device, tensor_3d(tensor_reals(y), batch, count, width),
                            tensor_3d(tensor_reals(x), batch, length, width), chosen);
    for (int64_t i = 0; i < batch * count * width; i++) {
        int64_t row = i / width / count * length + chosen[i / width];
        assert_true(tensor_reals(y)[i] == tensor_reals(x)[row * width + i % width]);
    }
    release(x), release(y);
}

static void check_all_pools(Device *device)
{
    check_pools(device, 1, 1, 1, 1);
    check_pools(device, 2, 6, 3, 17);
    check_pools(device, 3, 64, 4, 129);
    check_pools(device, 0, 6, 3, 5);
}

static void pools_match_loops(void **state)
{
    (void)state;
    on_all_devices(check_all_pools);
}

static void check_all_pairs(Device *device)
{
    check_pairs(device, 1, 1, 1, 1);
    check_pairs(device, 2, 7, 17, 3);
    check_pairs(device, 3, 66, 129, 4);
    check_pairs(device, 2, 3, 5, 8); /* nothing is that early */
    check_pairs(device, 0, 3, 5, 1);
}

static void pairs_match_loops_and_their_adjoint(void **state)
{
    (void)state;
    on_all_devices(check_all_pairs);
}

static void check_all_selections(Device *device)
{
    check_selection(device, 2, 9, 3, 17);
    check_selection(device, 3, 257, 130, 65);
    check_selection(device, 2, 9, 0, 3);
}

static void selection_takes_the_chosen_rows(void **state)
{
    (void)state;
    on_all_devices(check_all_selections);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_match_loops),
        cmocka_unit_test(pairs_match_loops_and_their_adjoint),
        cmocka_unit_test(selection_takes_the_chosen_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
