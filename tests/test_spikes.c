/* SPDX-License-Identifier: Apache-2.0
 *
 * Which updates are skipped: the window of recent losses against a plain list of all losses that
 * were accepted, judged by textbook formulas in long double; and the counters of skipped updates.
 */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/run/bad_steps.h"

enum { N = PAL_RECENT_LOSSES, LOSSES = 3000, LONG_AGO = 1000 };
static const double norms[] = {0.5, 0.01};

/* Of the last N of `count` losses; 0 where there are fewer. */
static double plain_z(const double *losses, int count, double loss)
{
    long double sum = 0.0L, squares = 0.0L;
    if (count < N) return 0.0;
    for (int i = count - N; i < count; i++) sum += (long double)losses[i];
    long double mean = sum / N;
    for (int i = count - N; i < count; i++) {
        long double off = (long double)losses[i] - mean;
        squares += off * off;
    }
    return (double)(((long double)loss - mean) / sqrtl(squares / (N - 1)));
}

/* Losses that fall, with noise, and sometimes leap. */
static double draw_loss(int i)
{
    RandomStream stream = random_stream(1, "test/losses");
    double leap = random_uniform(random_substream(stream, 1, 0), (uint64_t)i) < 0.02 ? 3.0 : 0.0;
    return 2.0 + 3.0 * exp(-i / 500.0) + leap + 0.1 * random_normal(stream, (uint64_t)i);
}

static void spikes_are_those_of_the_plain_formula(void **state)
{
    (void)state;
    static double accepted[LOSSES];
    BadSteps steps = {.spike_z = 4.0, .max_skips = 5};
    int count = 0, skipped = 0;
    for (int i = 0; i < LOSSES; i++) {
        double loss = draw_loss(i), z = plain_z(accepted, count, loss);
        double found = bad_steps_z(&steps, loss);
        /* The mean has N roundings, which are divided by a small deviation. */
        assert_true(fabs(found - z) <= 1e-11 * (1.0 + fabs(z)));
        StepVerdict verdict = bad_steps_judge(&steps, loss, norms, 2);
        assert_int_equal(verdict, z > 4.0 ? STEP_SPIKE : STEP_GOOD);
        bad_steps_count(&steps, verdict, i + 1, loss);
        if (verdict == STEP_GOOD) accepted[count++] = loss;
        skipped += verdict == STEP_SPIKE;
        assert_int_equal(steps.history.held, count < N ? count : N);
    }
    assert_true(skipped > 20 && skipped < 200);
    assert_memory_equal(steps.history.losses, accepted + count - N, N * sizeof *accepted);
}

/* What a checkpoint holds is all there is. */
static void a_history_goes_on_with_equal_bits(void **state)
{
    (void)state;
    BadSteps steps = {.spike_z = 4.0, .max_skips = 5}, other;
    for (int i = 0; i < LONG_AGO; i++) {
        double loss = draw_loss(i);
        bad_steps_count(&steps, bad_steps_judge(&steps, loss, norms, 2), i + 1, loss);
    }
    other = (BadSteps){.spike_z = 4.0, .max_skips = 5, .history = steps.history};
    for (int i = LONG_AGO; i < LOSSES; i++) {
        double loss = draw_loss(i);
        double one = bad_steps_z(&steps, loss), two = bad_steps_z(&other, loss);
        assert_memory_equal(&one, &two, sizeof one);
        bad_steps_count(&steps, bad_steps_judge(&steps, loss, norms, 2), i + 1, loss);
        bad_steps_count(&other, bad_steps_judge(&other, loss, norms, 2), i + 1, loss);
    }
    assert_memory_equal(&steps.history, &other.history, sizeof other.history);
}

static void numbers_that_are_none_are_always_bad(void **state)
{
    (void)state;
    BadSteps steps = {.spike_z = 0.0, .max_skips = 5};
    const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        double spoilt[] = {0.5, bad[i]};
        assert_int_equal(bad_steps_judge(&steps, bad[i], norms, 2), STEP_LOSS_NOT_FINITE);
        assert_int_equal(bad_steps_judge(&steps, 2.0, spoilt, 2), STEP_NORM_NOT_FINITE);
    }
    assert_int_equal(bad_steps_judge(&steps, DBL_MAX, norms, 2), STEP_GOOD);
}

static void only_a_full_window_with_some_spread_judges(void **state)
{
    (void)state;
    BadSteps steps = {.spike_z = 2.0, .max_skips = 5}, off = {.spike_z = 0.0, .max_skips = 5};
    for (int i = 0; i < 2 * N - 2; i++) { /* then the last 3.0 has left */
        double loss = i < N - 2 ? 2.0 + i % 2 : 2.0;
        assert_int_equal(bad_steps_judge(&steps, 1e9, norms, 2), i < N ? STEP_GOOD : STEP_SPIKE);
        assert_int_equal(bad_steps_judge(&steps, -1e9, norms, 2), STEP_GOOD);
        bad_steps_count(&steps, STEP_GOOD, i + 1, loss);
        bad_steps_count(&off, STEP_GOOD, i + 1, loss);
    }
    assert_true(bad_steps_z(&steps, 1e9) == 0.0);
    assert_int_equal(bad_steps_judge(&off, 1e9, norms, 2), STEP_GOOD);
}

static void count(BadSteps *steps, StepVerdict verdict, int64_t first, int64_t last)
{
    for (int64_t update = first; update <= last; update++)
        bad_steps_count(steps, verdict, update, 2.0);
}

static void it_goes_back_three_times_without_coming_further(void **state)
{
    (void)state;
    BadSteps steps = {.max_skips = 3};
    count(&steps, STEP_GOOD, 1, 10);
    const StepHistory saved = steps.history;
    count(&steps, STEP_SPIKE, 11, 12);
    assert_false(bad_steps_too_many(&steps));
    count(&steps, STEP_GOOD, 13, 13);
    assert_int_equal(steps.history.skips, 0);
    for (int i = 0; i < MOST_REWINDS; i++) {
        count(&steps, STEP_LOSS_NOT_FINITE, 14, 16);
        assert_true(bad_steps_too_many(&steps) && bad_steps_may_rewind(&steps));
        bad_steps_rewind(&steps, &saved, 16);
        assert_false(bad_steps_too_many(&steps));
        assert_int_equal(steps.history.held, 10);
        count(&steps, STEP_GOOD, 11, 13);
    }
    count(&steps, STEP_LOSS_NOT_FINITE, 14, 16);
    assert_false(bad_steps_may_rewind(&steps));
    count(&steps, STEP_GOOD, 16, 16);
    assert_false(bad_steps_may_rewind(&steps));
    count(&steps, STEP_GOOD, 17, 17);
    assert_true(bad_steps_may_rewind(&steps));
    assert_int_equal(steps.history.rewinds, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spikes_are_those_of_the_plain_formula),
        cmocka_unit_test(a_history_goes_on_with_equal_bits),
        cmocka_unit_test(numbers_that_are_none_are_always_bad),
        cmocka_unit_test(only_a_full_window_with_some_spread_judges),
        cmocka_unit_test(it_goes_back_three_times_without_coming_further),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
