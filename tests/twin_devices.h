/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation on two devices: tensors of the host go to the CPU device and to the CUDA device,
 * with guards around them, and what is there afterwards is compared, inputs too. On the CUDA device
 * the operation is run twice, which has to give the same bits, on tensors at addresses that wide
 * loads can be made from and at others. Its memory is reached by upload and download alone.
 */
#ifndef PAL_TESTS_TWIN_DEVICES_H
#define PAL_TESTS_TWIN_DEVICES_H

#include "tests/device_numbers.h"

enum { MOST_TENSORS = 8, GUARDS = 16 };

/* Sums are added up in another order, exp() is another: some roundings of the scale. */
static const double tolerance = 1e-5;

static uint64_t seed; /* of all numbers and sizes */
static Device *cpu, *cuda;

typedef enum Kind {
    NEAR_CPU, /* within the tolerance */
    EQUAL,    /* the same number, or both not a number */
    COPIED    /* the same bits */
} Kind;

typedef struct Given {
    Tensor x;
    Kind kind;
} Given;

/* What sums return, else 0. */
typedef double (*Operation)(Device *, const Tensor *, const void *options);

/* --- drawn numbers --------------------------------------------------------------------------- */

static uint64_t draws;

static inline int64_t drawn_below(int64_t end)
{
    double x = random_uniform(random_stream(seed, "tests/twin_devices"), draws++);
    return (int64_t)(x * (double)end);
}

/* Uniform in [-1, 1), not again the same. */
static inline Tensor drawn_2d(int64_t a, int64_t b) { return numbers(a, b, seed + ++draws); }

static inline Tensor drawn_3d(int64_t a, int64_t b, int64_t c)
{
    return numbers_3d(a, b, c, seed + ++draws);
}

/* factor x + offset */
static inline Tensor scaled(Tensor x, double factor, double offset)
{
    for (int64_t i = 0; i < tensor_count(x); i++)
        x.data[i] = (Real)(factor * (double)x.data[i] + offset);
    return x;
}

/* Some of them are replaced by `value`. */
static inline Tensor strewn(Tensor x, double value)
{
    int64_t count = tensor_count(x);
    for (int64_t i = 0; i < (count + 6) / 7; i++) x.data[drawn_below(count)] = (Real)value;
    return x;
}

/* --- one run --------------------------------------------------------------------------------- */

typedef struct Placed {
    Tensor x;    /* on a device */
    Real *start; /* of all, with the guards */
    int64_t before, all;
} Placed;

static inline Placed place(Device *device, Tensor x, int shift)
{
    if (!tensor_exists(x)) return (Placed){.x = x};
    int64_t count = tensor_count(x), before = GUARDS + shift, all = before + count + GUARDS;
    Real *host = malloc((size_t)all * sizeof *host);
    assert_non_null(host);
    for (int64_t i = 0; i < all; i++) host[i] = guard_value;
    memcpy(host + before, x.data, (size_t)count * sizeof *host);
    Real *start = device->op->allocate(device, (size_t)all * sizeof *host);
    assert_non_null(start);
    device->op->upload(device, tensor_1d(start, all), host);
    free(host);
    x.data = start + before;
    return (Placed){x, start, before, all};
}

/* The numbers, to be freed; NULL if there are none. */
static inline Real *take_back(Device *device, Placed placed, const char *what)
{
    if (placed.start == NULL) return NULL;
    Real *host = malloc((size_t)placed.all * sizeof *host);
    assert_non_null(host);
    device->op->download(device, host, tensor_1d(placed.start, placed.all));
    device->op->release(device, placed.start);
    int64_t count = tensor_count(placed.x);
    for (int64_t i = 0; i < placed.all; i++)
        if ((i < placed.before || i >= placed.before + count) && host[i] != guard_value)
            fail_msg("seed %llu, %s: number %lld of %lld is written", (unsigned long long)seed,
                     what, (long long)(i - placed.before), (long long)count);
    memmove(host, host + placed.before, (size_t)count * sizeof *host);
    return host;
}

static inline double run_on(Device *device, const char *what, Operation operation,
                            const void *options, const Given *given, int count, int shift,
                            Real *results[])
{
    Placed placed[MOST_TENSORS];
    Tensor tensors[MOST_TENSORS];
    for (int i = 0; i < count; i++) {
        placed[i] = place(device, given[i].x, shift);
        tensors[i] = placed[i].x;
    }
    double result = operation(device, tensors, options);
    for (int i = 0; i < count; i++) results[i] = take_back(device, placed[i], what);
    return result;
}

/* --- comparing ------------------------------------------------------------------------------- */

static inline double scale_of(const Real *x, int64_t count)
{
    double scale = 1;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(x[i])) scale = fmax(scale, fabs((double)x[i]));
    return scale;
}

static inline bool agrees(Kind kind, Real found, Real expected, double scale)
{
    if (memcmp(&found, &expected, sizeof found) == 0) return true;
    if (kind == COPIED) return false;
    if (isnan(found) || isnan(expected)) return isnan(found) && isnan(expected);
    if (kind == EQUAL || isinf(expected)) return found == expected;
    return near((double)found, (double)expected, tolerance * scale);
}

static inline void compare(const char *what, int number, Given given, const Real *found,
                           const Real *expected)
{
    int64_t count = tensor_count(given.x);
    double scale = scale_of(expected, count);
    for (int64_t i = 0; i < count; i++)
        if (!agrees(given.kind, found[i], expected[i], scale))
            fail_msg("seed %llu, %s: number %lld of %lld of tensor %d is %.9g, expected %.9g",
                     (unsigned long long)seed, what, (long long)i, (long long)count, number,
                     (double)found[i], (double)expected[i]);
}

static inline void compare_sums(const char *what, double found, double expected)
{
    if (!(isnan(found) && isnan(expected)) &&
        !near(found, expected, 1e-10 * fmax(1, fabs(expected))))
        fail_msg("seed %llu, %s: found %.17g, expected %.17g", (unsigned long long)seed, what,
                 found, expected);
}

/* Runs the operation and compares; frees the tensors. */
static inline void check(const char *what, Operation operation, const void *options,
                         const Given *given, int count)
{
    Real *expected[MOST_TENSORS], *found[MOST_TENSORS], *again[MOST_TENSORS];
    assert_true(count <= MOST_TENSORS);
    double sum = run_on(cpu, what, operation, options, given, count, 0, expected);
    for (int shift = 0; shift < 2; shift++) {
        double first = run_on(cuda, what, operation, options, given, count, shift, found);
        double second = run_on(cuda, what, operation, options, given, count, shift, again);
        compare_sums(what, first, sum);
        assert_memory_equal(&first, &second, sizeof first);
        for (int i = 0; i < count; i++) {
            if (found[i] == NULL) continue;
            compare(what, i, given[i], found[i], expected[i]);
            size_t bytes = (size_t)tensor_count(given[i].x) * sizeof(Real);
            if (memcmp(found[i], again[i], bytes) != 0)
                fail_msg("seed %llu, %s: tensor %d differs in a second run",
                         (unsigned long long)seed, what, i);
            free(found[i]);
            free(again[i]);
        }
    }
    for (int i = 0; i < count; i++) {
        free(expected[i]);
        if (tensor_exists(given[i].x)) release(given[i].x);
    }
}

#define CHECK(what, operation, options, ...)                      \
    check((what), (operation), (options), (Given[]){__VA_ARGS__}, \
          (int)(sizeof((Given[]){__VA_ARGS__}) / sizeof(Given)))

/* --- sizes ----------------------------------------------------------------------------------- */

static const int64_t sizes[] = {0, 1, 2, 3, 31, 32, 33, 127, 128, 129, 257};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes, DRAWN_SIZES = 12 };

static inline int64_t drawn_size(void) { return sizes[drawn_below(NUM_SIZES)]; }

/* Pairs of sizes, of the larger ones a share, since the emulation looks at every number; then drawn
 * ones. */
static inline void for_sizes(void (*test)(int64_t rows, int64_t width))
{
    for (int i = 0; i < NUM_SIZES; i++)
        for (int j = 0; j < NUM_SIZES; j++)
            if (sizes[i] * sizes[j] < 5000 || drawn_below(8) == 0) test(sizes[i], sizes[j]);
    for (int i = 0; i < DRAWN_SIZES; i++) test(drawn_below(60), 4 * drawn_below(60));
    for (int i = 0; i < DRAWN_SIZES; i++) test(drawn_below(60), drawn_below(240));
}

#endif
