/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of device operations share: tensors of reproducible numbers with guards behind
 * them, and comparison with double-precision references.
 */
#ifndef PAL_TESTS_DEVICE_NUMBERS_H
#define PAL_TESTS_DEVICE_NUMBERS_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/tensor/device.h"

enum { MAX_THREADS = 3, GUARD_NUMBERS = 16 };

static const Real guard_value = (Real)-31337;
/* The spacing of the numbers that the device computes with. */
static const double rounding = sizeof(Real) == sizeof(float) ? FLT_EPSILON : DBL_EPSILON;

/* Runs a check on devices with 1, 2 and 3 threads. */
static inline void on_all_devices(void (*check)(Device *))
{
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        Device *device;
        assert_int_equal(device_create_cpu(&device, threads), PAL_OK);
        check(device);
        device_destroy(&device);
        assert_null(device);
    }
}

/* (a, b) numbers, uniform in [-1, 1), another sequence for every seed; release() frees them. */
static inline Tensor numbers(int64_t a, int64_t b, uint64_t seed)
{
    int64_t count = a * b;
    Real *data = malloc((size_t)(count + GUARD_NUMBERS) * sizeof *data);
    assert_non_null(data);
    RandomStream stream = random_stream(seed, "tests/numbers");
    for (int64_t i = 0; i < count; i++)
        data[i] = (Real)(2.0 * random_uniform(stream, (uint64_t)i) - 1.0);
    for (int i = 0; i < GUARD_NUMBERS; i++) data[count + i] = guard_value;
    return tensor_2d(data, a, b);
}

static inline Tensor numbers_3d(int64_t a, int64_t b, int64_t c, uint64_t seed)
{
    return tensor_3d(numbers(a * b, c, seed).data, a, b, c);
}

static inline Tensor copy_of(Tensor x)
{
    Tensor copy = numbers(1, tensor_count(x), 0);
    memcpy(tensor_reals(copy), tensor_reals(x), (size_t)tensor_count(x) * sizeof(Real));
    Real *data = tensor_reals(copy);
    copy = x;
    copy.data = data;
    return copy;
}

/* A range of one dimension. */
typedef struct Span {
    int64_t first, count;
} Span;

/* A copy of a part of x (a,b,c). */
static inline Tensor part_of(Tensor x, Span of_a, Span of_b, Span of_c)
{
    Tensor part = numbers_3d(of_a.count, of_b.count, of_c.count, 0);
    Real *to = tensor_reals(part);
    for (int64_t i = of_a.first; i < of_a.first + of_a.count; i++)
        for (int64_t j = of_b.first; j < of_b.first + of_b.count; j++)
            for (int64_t k = of_c.first; k < of_c.first + of_c.count; k++)
                *to++ = tensor_reals(x)[(i * x.dims[1] + j) * x.dims[2] + k];
    return part;
}

static inline Tensor columns_of(Tensor x /* (a,b) */, Span columns)
{
    const Span one = {0, 1}, all = {0, x.dims[0]};
    Tensor part = part_of(tensor_3d(tensor_reals(x), 1, x.dims[0], x.dims[1]), one, all, columns);
    return tensor_2d(tensor_reals(part), x.dims[0], columns.count);
}

/* Frees the numbers after a look at what stands behind them. */
static inline void release(Tensor x)
{
    const Real *behind = tensor_reals(x) + tensor_count(x);
    for (int i = 0; i < GUARD_NUMBERS; i++) assert_true(behind[i] == guard_value);
    free(tensor_reals(x));
}

static inline bool near(double found, double expected, double tolerance)
{
    return fabs(found - expected) <= tolerance; /* false for NaN */
}

#define assert_near(found, expected, tolerance)                                         \
    do {                                                                                \
        double found_value = (double)(found), expected_value = (double)(expected);      \
        if (!near(found_value, expected_value, (tolerance)))                            \
            fail_msg("%s: found %.9g, expected %.9g, off by %.3g", #found, found_value, \
                     expected_value, found_value - expected_value);                     \
    } while (0)

static inline void assert_same_bits(Tensor a, Tensor b)
{
    assert_int_equal(tensor_count(a), tensor_count(b));
    assert_memory_equal(tensor_reals(a), tensor_reals(b), (size_t)tensor_count(a) * sizeof(Real));
}

#endif
