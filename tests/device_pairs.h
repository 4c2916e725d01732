/* SPDX-License-Identifier: Apache-2.0
 *
 * The same numbers on the CPU device and the CUDA device, with guards behind them, drawn from a seed
 * that can be set; of either number type.
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
#include "src/tensor/bfloat16.h"
#include "src/tensor/device.h"

static const double tolerance = 1e-5;
static const Real guard_value = (Real)-31232; /* which bfloat16 has too */
enum { GUARD_NUMBERS = 8 };

static uint64_t seed;
static uint64_t drawn; /* numbers so far */
static Device *cpu, *cuda;
static NumberType pairs_type; /* of pairs that may be of either */

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

/* The tensor with its guards. */
static inline Tensor guarded(Tensor x)
{
    return tensor_part_1d(x, 0, tensor_count(x) + GUARD_NUMBERS);
}

/* On `device`, with these numbers. */
static inline Tensor with_numbers(Device *device, Tensor shape, const Real *numbers)
{
    size_t bytes = (size_t)(tensor_count(shape) + GUARD_NUMBERS) * number_size(shape.type);
    shape.data = device->op->allocate(device, bytes);
    assert_non_null(shape.data);
    device->op->upload(device, guarded(shape), numbers);
    return shape;
}

/* Numbers that the type has, so that both devices begin with the same. */
static inline Pair pair_of_shape(NumberType type, Tensor shape)
{
    int64_t count = tensor_count(shape);
    Real *numbers = malloc((size_t)(count + GUARD_NUMBERS) * sizeof *numbers);
    assert_non_null(numbers);
    for (int64_t i = 0; i < count; i++) numbers[i] = (Real)draw_number();
    if (type == NUMBER_BFLOAT16)
        for (int64_t i = 0; i < count; i++)
            numbers[i] = float_of_bfloat16(bfloat16_of((float)numbers[i]));
    for (int i = 0; i < GUARD_NUMBERS; i++) numbers[count + i] = guard_value;
    shape.type = type;
    Pair pair = {with_numbers(cpu, shape, numbers), with_numbers(cuda, shape, numbers)};
    free(numbers);
    return pair;
}

static inline Pair pair_1d(int64_t a) { return pair_of_shape(pairs_type, tensor_1d(NULL, a)); }
static inline Pair pair_2d(int64_t a, int64_t b)
{
    return pair_of_shape(pairs_type, tensor_2d(NULL, a, b));
}
static inline Pair pair_3d(int64_t a, int64_t b, int64_t c)
{
    return pair_of_shape(pairs_type, tensor_3d(NULL, a, b, c));
}

/* Of what is float32 in every run. */
static inline Pair real_pair_1d(int64_t a)
{
    return pair_of_shape(NUMBER_FLOAT32, tensor_1d(NULL, a));
}
static inline Pair real_pair_2d(int64_t a, int64_t b)
{
    return pair_of_shape(NUMBER_FLOAT32, tensor_2d(NULL, a, b));
}

static inline void pair_free(Pair pair)
{
    cpu->op->release(cpu, pair.cpu.data);
    cuda->op->release(cuda, pair.cuda.data);
}

/* Both from number `first` on. */
static inline Pair pair_part(Pair pair, int64_t first, int64_t count)
{
    return (Pair){tensor_part_1d(pair.cpu, first, count), tensor_part_1d(pair.cuda, first, count)};
}

/* What a device has, and that nothing came behind the end. */
static inline Real *downloaded(Device *device, Tensor x)
{
    int64_t count = tensor_count(x);
    Real *numbers = malloc((size_t)(count + GUARD_NUMBERS) * sizeof *numbers);
    assert_non_null(numbers);
    device->op->download(device, numbers, guarded(x));
    for (int i = 0; i < GUARD_NUMBERS; i++) assert_true(numbers[count + i] == guard_value);
    return numbers;
}

/* Both compute in float32; what is then rounded to bfloat16 may go either way, which is one of its
 * last places: 2^-7 of the number at most. */
static inline void assert_close(const char *what, Pair pair, double allowed)
{
    int64_t count = tensor_count(pair.cpu);
    Real *wanted = downloaded(cpu, pair.cpu), *found = downloaded(cuda, pair.cuda);
    double largest = 1, place = pair.cpu.type == NUMBER_BFLOAT16 && allowed > 0 ? 0x1p-7 : 0;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(wanted[i])) largest = fmax(largest, fabs((double)wanted[i]));
    for (int64_t i = 0; i < count; i++) {
        double expected = (double)wanted[i], value = (double)found[i];
        bool same = expected == value || (isnan(expected) && isnan(value));
        if (!same && !(fabs(value - expected) <= allowed * largest + place * fabs(expected)))
            fail_msg("seed %llu, %s: number %lld of %lld is %.9g, expected %.9g",
                     (unsigned long long)seed, what, (long long)i, (long long)count, value,
                     expected);
    }
    free(wanted);
    free(found);
}

static inline void assert_same(const char *what, Pair pair) { assert_close(what, pair, 0); }

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
