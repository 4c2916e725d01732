/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing a token from logits: each option alone, their limits, frequencies against the softmax.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/run/sampling.h"

enum { COUNT = 6, DRAWS = 200000 };

/* Probabilities 0.4, 0.3, 0.15, 0.1, 0.04, 0.01 of tokens 3, 0, 5, 1, 4, 2. */
static const double probabilities[COUNT] = {0.3, 0.1, 0.01, 0.4, 0.04, 0.15};

static void make_logits(Real logits[COUNT])
{
    for (int i = 0; i < COUNT; i++) logits[i] = (Real)(log(probabilities[i]) + 7.0);
}

static int choose_from(SamplingOptions options, const Real *logits, int excluded, double uniform)
{
    SamplingCandidate candidates[COUNT];
    return sampling_choose(&options, logits, COUNT, excluded, uniform, candidates);
}

static int choose(SamplingOptions options, int excluded, double uniform)
{
    Real logits[COUNT];
    make_logits(logits);
    return choose_from(options, logits, excluded, uniform);
}

static const SamplingOptions plain = {1.0, 0, 1.0};

static void uniform_runs_along_falling_probabilities(void **state)
{
    (void)state;
    assert_int_equal(choose(plain, -1, 0.0), 3);
    assert_int_equal(choose(plain, -1, 0.399), 3);
    assert_int_equal(choose(plain, -1, 0.401), 0);
    assert_int_equal(choose(plain, -1, 0.699), 0);
    assert_int_equal(choose(plain, -1, 0.701), 5);
    assert_int_equal(choose(plain, -1, 0.849), 5);
    assert_int_equal(choose(plain, -1, 0.851), 1);
    assert_int_equal(choose(plain, -1, 0.951), 4);
    assert_int_equal(choose(plain, -1, 0.9999), 2);
    assert_int_equal(choose(plain, -1, 1.0 - 0x1p-53), 2);
}

static void temperature_zero_takes_the_likeliest(void **state)
{
    (void)state;
    SamplingOptions greedy = {0.0, 0, 1.0};
    assert_int_equal(choose(greedy, -1, 0.999), 3);
    assert_int_equal(choose(greedy, 3, 0.999), 0);

    Real equal[COUNT] = {1, 2, 2, 0, 2, -1};
    assert_int_equal(choose_from(greedy, equal, -1, 0.999), 1); /* of equals the first */
    SamplingOptions nearly = {1e-300, 0, 1.0};
    assert_int_equal(choose(nearly, -1, 0.999), 3);
}

static void excluded_token_never_comes(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) assert_int_not_equal(choose(plain, 3, i / 1000.0), 3);
    assert_int_equal(choose(plain, 3, 0.499), 0); /* 0.3 / 0.6 */
    assert_int_equal(choose(plain, 3, 0.501), 5);
}

static void top_k_keeps_k(void **state)
{
    (void)state;
    assert_int_equal(choose((SamplingOptions){1.0, 1, 1.0}, -1, 0.999), 3);
    assert_int_equal(choose((SamplingOptions){1.0, 2, 1.0}, -1, 0.570), 3); /* 0.4 / 0.7 */
    assert_int_equal(choose((SamplingOptions){1.0, 2, 1.0}, -1, 0.572), 0);
    assert_int_equal(choose((SamplingOptions){1.0, 2, 1.0}, -1, 0.999), 0);
    assert_int_equal(choose((SamplingOptions){1.0, 1000, 1.0}, -1, 0.9999), 2);
}

static void top_p_keeps_what_reaches_p(void **state)
{
    (void)state;
    assert_int_equal(choose((SamplingOptions){1.0, 0, 1e-9}, -1, 0.999), 3);
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.39}, -1, 0.999), 3);
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.41}, -1, 0.999), 0);
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.69}, -1, 0.999), 0);
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.71}, -1, 0.999), 5);
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.71}, -1, 0.470), 3); /* 0.4 / 0.85 */
    assert_int_equal(choose((SamplingOptions){1.0, 0, 0.71}, -1, 0.471), 0);
    /* After top_k: 4/7 of what two tokens hold. */
    assert_int_equal(choose((SamplingOptions){1.0, 2, 0.57}, -1, 0.999), 3);
    assert_int_equal(choose((SamplingOptions){1.0, 2, 0.58}, -1, 0.999), 0);
}

static void frequencies_follow_the_softmax(void **state)
{
    (void)state;
    const double temperatures[] = {0.5, 1.0, 2.0};
    for (int t = 0; t < 3; t++) {
        int counts[COUNT] = {0};
        double expected[COUNT], sum = 0.0;
        for (int i = 0; i < COUNT; i++) {
            expected[i] = pow(probabilities[i], 1.0 / temperatures[t]);
            sum += expected[i];
        }
        RandomStream stream = random_stream((uint64_t)t, "tests/sampling");
        for (int n = 0; n < DRAWS; n++)
            counts[choose((SamplingOptions){temperatures[t], 0, 1.0}, -1,
                          random_uniform(stream, (uint64_t)n))]++;
        for (int i = 0; i < COUNT; i++) {
            double p = expected[i] / sum, deviation = sqrt(p * (1 - p) / DRAWS);
            /* 5 standard deviations; the numbers are the same in every run */
            assert_true(fabs((double)counts[i] / DRAWS - p) < 5 * deviation);
        }
    }
}

static void what_is_not_finite_is_never_chosen(void **state)
{
    (void)state;
    Real some[COUNT] = {(Real)NAN, 1, (Real)-INFINITY, (Real)INFINITY, 2, (Real)NAN};
    for (int i = 0; i < 100; i++) {
        int token = choose_from(plain, some, -1, i / 100.0);
        assert_true(token == 1 || token == 4);
    }
    assert_int_equal(choose_from((SamplingOptions){0.0, 0, 1.0}, some, -1, 0.5), 4);

    Real none[COUNT];
    for (int i = 0; i < COUNT; i++) none[i] = (Real)NAN;
    none[2] = 1;
    assert_int_equal(choose_from(plain, none, -1, 0.5), 2);
    assert_int_equal(choose_from(plain, none, 2, 0.5), -1);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    Real logits[COUNT] = {1e30f, 1e30f, -1e30f, 0, 0, 0};
    assert_int_equal(choose_from(plain, logits, -1, 0.49), 0);
    assert_int_equal(choose_from(plain, logits, -1, 0.51), 1);
}

static void expect_refused(SamplingOptions options, const char *in_message)
{
    assert_int_equal(sampling_check(&options), PAL_ERROR_USAGE);
    assert_non_null(strstr(status_message(), in_message));
}

static void wrong_options_are_refused(void **state)
{
    (void)state;
    expect_refused((SamplingOptions){-0.1, 0, 1.0}, "--temperature is -0.1");
    expect_refused((SamplingOptions){NAN, 0, 1.0}, "--temperature");
    expect_refused((SamplingOptions){INFINITY, 0, 1.0}, "--temperature is inf");
    expect_refused((SamplingOptions){1.0, -1, 1.0}, "--top-k is -1");
    expect_refused((SamplingOptions){1.0, 0, 0.0}, "--top-p is 0");
    expect_refused((SamplingOptions){1.0, 0, 1.5}, "--top-p is 1.5");
    expect_refused((SamplingOptions){1.0, 0, NAN}, "--top-p");
    SamplingOptions good[] = {{0.0, 0, 1.0}, {1.0, 40, 0.9}, {2.5, 1, 1e-6}};
    for (int i = 0; i < 3; i++) assert_int_equal(sampling_check(&good[i]), PAL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_runs_along_falling_probabilities),
        cmocka_unit_test(temperature_zero_takes_the_likeliest),
        cmocka_unit_test(excluded_token_never_comes),
        cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_p_keeps_what_reaches_p),
        cmocka_unit_test(frequencies_follow_the_softmax),
        cmocka_unit_test(what_is_not_finite_is_never_chosen),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
