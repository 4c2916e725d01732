/* SPDX-License-Identifier: Apache-2.0
 *
 * Counter-based random numbers: the published values of Philox4x32-10 (file kat_vectors of
 * Random123), and the statistics that initial values, dropout and the order of documents stand on.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/random.h"

enum { DRAWS = 200000 };

/* Statistics below are fixed numbers, since the seed is; bounds are five standard deviations. */
static const double deviations = 5.0;

static void assert_words(const uint32_t *found, const uint32_t *expected, int count)
{
    for (int i = 0; i < count; i++) assert_int_equal(found[i], expected[i]);
}

static void words_are_philox(void **state)
{
    (void)state;
    const uint32_t of_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    uint32_t words[4];
    random_words((RandomStream){{0, 0}}, 0, words);
    assert_words(words, of_zero, 4);
}

/* A substream is the first half of a block whose counter is (a, b), with the highest bit of b
 * turned over; so the published blocks with other counters can be had through it. */
static void substreams_are_philox(void **state)
{
    (void)state;
    const uint64_t turned = UINT64_C(1) << 63;
    const uint32_t of_ones[2] = {0x408f276d, 0x41c83b0e};
    const uint32_t of_pi[2] = {0xd16cfe09, 0x94fdcceb};

    RandomStream ones = {{0xffffffff, 0xffffffff}};
    RandomStream found = random_substream(ones, UINT64_MAX, UINT64_MAX ^ turned);
    assert_words(found.key, of_ones, 2);

    RandomStream pi = {{0xa4093822, 0x299f31d0}};
    found =
        random_substream(pi, UINT64_C(0x85a308d3243f6a88), UINT64_C(0x0370734413198a2e) ^ turned);
    assert_words(found.key, of_pi, 2);
}

/* FNV-1a's published value of "foobar". */
static void names_are_hashed(void **state)
{
    (void)state;
    RandomStream named = random_stream(42, "foobar");
    const uint64_t hash = UINT64_C(0x85944171f73967e8);
    RandomStream hashed = {{(uint32_t)hash, (uint32_t)(hash >> 32)}};
    RandomStream expected = random_substream(hashed, 42, 0);
    assert_words(named.key, expected.key, 2);
}

static void streams_differ(void **state)
{
    (void)state;
    RandomStream base = random_stream(1, "layers/00/attention/query");
    const RandomStream streams[] = {
        base,
        random_stream(2, "layers/00/attention/query"),
        random_stream(UINT64_C(1) + (UINT64_C(1) << 32), "layers/00/attention/query"),
        random_stream(1, "layers/00/attention/key"),
        random_stream(1, "layers/01/attention/query"),
        random_stream(1, ""),
        random_substream(base, 0, 0),
        random_substream(base, 1, 0),
        random_substream(base, 0, 1),
        random_substream(base, UINT64_C(1) << 32, 0),
        random_substream(base, 0, UINT64_C(1) << 32),
    };
    const size_t count = sizeof streams / sizeof *streams;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            uint32_t a[4], b[4];
            random_words(streams[i], 7, a);
            random_words(streams[j], 7, b);
            assert_memory_not_equal(a, b, sizeof a);
        }
    }
}

/* Also indices beyond 32 bits. */
static void every_index_has_its_own_words(void **state)
{
    (void)state;
    RandomStream stream = random_stream(3, "test");
    const uint64_t indices[] = {0, 1, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_MAX};
    for (int i = 0; i < 5; i++) {
        for (int j = 0; j < i; j++) {
            uint32_t a[4], b[4];
            random_words(stream, indices[i], a);
            random_words(stream, indices[j], b);
            assert_memory_not_equal(a, b, sizeof a);
        }
    }
}

static void order_does_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    RandomStream stream = random_stream(4, "test");
    double forward[COUNT];
    for (int i = 0; i < COUNT; i++) forward[i] = random_normal(stream, (uint64_t)i);
    (void)random_uniform(random_stream(5, "other"), 11);
    for (int i = COUNT - 1; i >= 0; i--)
        assert_true(random_normal(stream, (uint64_t)i) == forward[i]);
}

static void uniform_numbers_fill_the_interval(void **state)
{
    (void)state;
    enum { BINS = 20 };
    RandomStream stream = random_stream(6, "test");
    double sum = 0.0;
    int64_t bins[BINS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double u = random_uniform(stream, (uint64_t)i);
        assert_true(u >= 0.0 && u < 1.0);
        bins[(int)(u * BINS)]++;
        sum += u;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < deviations * sqrt(1.0 / 12 / DRAWS));
    const double expected = (double)DRAWS / BINS;
    for (int b = 0; b < BINS; b++)
        assert_true(fabs((double)bins[b] - expected) < deviations * sqrt(expected));
}

/* The first four moments of N(0, 1), their standard errors sqrt(1, 2, 15, 96 / n), and that
 * neighbours have nothing to do with each other. */
static void normal_numbers_have_normal_moments(void **state)
{
    (void)state;
    RandomStream stream = random_stream(7, "test");
    double moments[4] = {0}, neighbours = 0.0, before = 0.0;
    for (int i = 0; i < DRAWS; i++) {
        double x = random_normal(stream, (uint64_t)i), power = 1.0;
        assert_true(isfinite(x));
        for (int k = 0; k < 4; k++) moments[k] += power *= x;
        neighbours += x * before;
        before = x;
    }
    const double expected[4] = {0, 1, 0, 3}, variance[4] = {1, 2, 15, 96};
    for (int k = 0; k < 4; k++)
        assert_true(fabs(moments[k] / DRAWS - expected[k]) <
                    deviations * sqrt(variance[k] / DRAWS));
    assert_true(fabs(neighbours / DRAWS) < deviations * sqrt(1.0 / DRAWS));
}

static void assert_permutation(const int64_t *permutation, int64_t count)
{
    bool seen[512] = {false};
    assert_in_range(count, 0, 512);
    for (int64_t i = 0; i < count; i++) {
        assert_in_range(permutation[i], 0, count - 1);
        assert_false(seen[permutation[i]]);
        seen[permutation[i]] = true;
    }
}

static void permutations_hold_everything_once(void **state)
{
    (void)state;
    int64_t permutation[512] = {-1};
    for (int64_t count = 0; count <= 512; count += count < 20 ? 1 : 41) {
        random_permutation(random_stream(8, "test"), count, permutation);
        assert_permutation(permutation, count);
    }
}

/* All six orders of three things, each about as often. */
static void permutations_are_equally_likely(void **state)
{
    (void)state;
    enum { TRIALS = 12000 };
    RandomStream stream = random_stream(9, "test");
    int seen[27] = {0}, orders = 0;
    for (int i = 0; i < TRIALS; i++) {
        int64_t p[3];
        random_permutation(random_substream(stream, (uint64_t)i, 0), 3, p);
        seen[9 * p[0] + 3 * p[1] + p[2]]++;
    }
    for (int code = 0; code < 27; code++) {
        if (seen[code] == 0) continue;
        orders++;
        assert_true(fabs(seen[code] - TRIALS / 6.0) < deviations * sqrt(TRIALS / 6.0));
    }
    assert_int_equal(orders, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_philox),
        cmocka_unit_test(substreams_are_philox),
        cmocka_unit_test(names_are_hashed),
        cmocka_unit_test(streams_differ),
        cmocka_unit_test(every_index_has_its_own_words),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(uniform_numbers_fill_the_interval),
        cmocka_unit_test(normal_numbers_have_normal_moments),
        cmocka_unit_test(permutations_hold_everything_once),
        cmocka_unit_test(permutations_are_equally_likely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
