/* SPDX-License-Identifier: Apache-2.0
 *
 * The same numbers on the CPU device and the CUDA device, with guards behind them, drawn from a seed
 * that can be set.
 */
#ifndef PAL_TESTS_DEVICE_PAIRS_H
#define PAL_TESTS_DEVICE_PAIRS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/tensor/device.h"

static const double tolerance = 1e-5;
static const Real guard_value = (Real)-31337;
enum { GUARD_NUMBERS = 8 };

static uint64_t seed;
static uint64_t drawn; /* numbers so far */
static Device *cpu, *cuda;

/* --- the same numbers on both devices -------------------------------------------------------- */

static uint64_t draw(uint64_t below)
{
    double x = random_uniform(random_stream(seed, "tests/cuda_ops"), drawn++);
    return (uint64_t)(x * (double)below);
}

static inline double draw_number(void)
{
    return 2.0 * random_uniform(random_stream(seed, "tests/cuda_ops"), drawn++) - 1.0;
}

/* A tensor on each device, with guards behind it. */
typedef struct Pair {
    Tensor cpu, cuda;
} Pair;

static inline Tensor with_data(Tensor shape, Real *data)
{
    shape.data = data;
    return shape;
}

static inline Tensor guarded(Tensor x)
{
    return tensor_1d(x.data, tensor_count(x) + GUARD_NUMBERS);
}

static inline Pair pair_of_shape(Tensor shape)
{
    int64_t count = tensor_count(shape);
    Real *numbers = malloc((size_t)(count + GUARD_NUMBERS) * sizeof *numbers);
    assert_non_null(numbers);
    for (int64_t i = 0; i < count; i++) numbers[i] = (Real)draw_number();
    for (int i = 0; i < GUARD_NUMBERS; i++) numbers[count + i] = guard_value;
    size_t bytes = (size_t)(count + GUARD_NUMBERS) * sizeof(Real);
    Pair pair = {with_data(shape, numbers), with_data(shape, cuda->op->allocate(cuda, bytes))};
    assert_non_null(pair.cuda.data);
    cuda->op->upload(cuda, guarded(pair.cuda), numbers);
    return pair;
}

static inline Pair pair_1d(int64_t a) { return pair_of_shape(tensor_1d(NULL, a)); }
static inline Pair pair_2d(int64_t a, int64_t b) { return pair_of_shape(tensor_2d(NULL, a, b)); }
static inline Pair pair_3d(int64_t a, int64_t b, int64_t c)
{
    return pair_of_shape(tensor_3d(NULL, a, b, c));
}

static inline void pair_free(Pair pair)
{
    free(pair.cpu.data);
    cuda->op->release(cuda, pair.cuda.data);
}

/* What the two have; both also behind the end. */
static inline Real *downloaded(Tensor x)
{
    int64_t count = tensor_count(x);
    Real *numbers = malloc((size_t)(count + GUARD_NUMBERS) * sizeof *numbers);
    assert_non_null(numbers);
    cuda->op->download(cuda, numbers, guarded(x));
    for (int i = 0; i < GUARD_NUMBERS; i++) assert_true(numbers[count + i] == guard_value);
    return numbers;
}

static inline void assert_close(const char *what, Pair pair, double allowed)
{
    int64_t count = tensor_count(pair.cpu);
    Real *found = downloaded(pair.cuda);
    double largest = 1;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(pair.cpu.data[i])) largest = fmax(largest, fabs((double)pair.cpu.data[i]));
    for (int64_t i = 0; i < count; i++) {
        double expected = (double)pair.cpu.data[i], value = (double)found[i];
        bool same = expected == value || (isnan(expected) && isnan(value));
        if (!same && !(fabs(value - expected) <= allowed * largest))
            fail_msg("seed %llu, %s: number %lld of %lld is %.9g, expected %.9g",
                     (unsigned long long)seed, what, (long long)i, (long long)count, value,
                     expected);
    }
    free(found);
}

static inline void assert_same(const char *what, Pair pair)
{
    Real *found = downloaded(pair.cuda);
    if (memcmp(found, pair.cpu.data, (size_t)tensor_count(pair.cpu) * sizeof(Real)) != 0)
        assert_close(what, pair, 0); /* says where */
    free(found);
}

static inline void assert_number(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= tolerance * fmax(1.0, fabs(expected))))
        fail_msg("seed %llu, %s: %.12g, expected %.12g", (unsigned long long)seed, what, found,
                 expected);
}

static const int64_t sizes[] = {1, 2, 3, 4, 31, 32, 33, 127, 128, 129, 257, 1000};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

static inline int64_t any_size(void) { return sizes[draw(NUM_SIZES)]; }
static inline int64_t small_size(void) { return sizes[draw(7)]; }

/* Calls an operation of both devices' tables. */
#define ON_BOTH(operation, cpu_arguments, cuda_arguments) \
    do {                                                  \
        cpu->op->operation cpu_arguments;                 \
        cuda->op->operation cuda_arguments;               \
    } while (0)

#endif
