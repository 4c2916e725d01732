/* SPDX-License-Identifier: Apache-2.0
 *
 * Learning rate and windows per update (spec: model, section 5). Expected values are written out,
 * or come from the formula in its other form: cosine from peak to end = a sine around their middle.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/optim/schedule.h"

/* A few roundings of numbers below 1. */
static const double tolerance = 1e-15;

static const Schedule base = {.lr_start = 1e-4,
                              .lr_peak = 9e-4,
                              .lr_end = 1e-5,
                              .warmup = 8,
                              .decay = 108,
                              .update_every = 4,
                              .update_every_after = 60};

static void assert_rate(const Schedule *schedule, int64_t update, double expected)
{
    double found = schedule_learning_rate(schedule, update);
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("update %lld: learning rate %.17g, expected %.17g", (long long)update, found,
                 expected);
}

static void warm_up_is_a_straight_line(void **state)
{
    (void)state;
    assert_rate(&base, 1, 2e-4);
    assert_rate(&base, 2, 3e-4);
    assert_rate(&base, 4, 5e-4);
    assert_rate(&base, 7, 8e-4);
    assert_rate(&base, 8, 9e-4);
}

static void cosine_falls_from_peak_to_end(void **state)
{
    (void)state;
    const double pi = acos(-1.0), middle = (9e-4 + 1e-5) / 2, half = (9e-4 - 1e-5) / 2;
    assert_rate(&base, 58, middle);
    assert_rate(&base, 33, middle + half * sqrt(0.5));
    assert_rate(&base, 83, middle - half * sqrt(0.5));
    for (int64_t u = 9; u < 108; u++) {
        assert_rate(&base, u, middle - half * sin(pi * (double)(u - 58) / 100));
        assert_true(schedule_learning_rate(&base, u) < schedule_learning_rate(&base, u - 1));
    }
}

static void end_holds_from_decay_on(void **state)
{
    (void)state;
    assert_true(schedule_learning_rate(&base, 107) > 1e-5);
    assert_rate(&base, 108, 1e-5);
    assert_rate(&base, 109, 1e-5);
    assert_rate(&base, 1000000, 1e-5);
}

static void there_may_be_no_warm_up(void **state)
{
    (void)state;
    Schedule schedule = base;
    schedule.warmup = 0;
    schedule.decay = 100;
    assert_rate(&schedule, 50, (9e-4 + 1e-5) / 2);
    assert_rate(&schedule, 100, 1e-5);
    assert_true(schedule_learning_rate(&schedule, 1) < 9e-4);
}

/* Warm-up goes first: u <= warmup is tested before u >= decay. */
static void a_decay_within_warm_up_ends_it_at_once(void **state)
{
    (void)state;
    Schedule schedule = base;
    schedule.decay = 5;
    assert_rate(&schedule, 6, 7e-4);
    assert_rate(&schedule, 8, 9e-4);
    assert_rate(&schedule, 9, 1e-5);
    schedule.decay = schedule.warmup;
    assert_rate(&schedule, 8, 9e-4);
    assert_rate(&schedule, 9, 1e-5);
}

static void windows_switch_at_update_every_after(void **state)
{
    (void)state;
    assert_int_equal(schedule_windows(&base, 1), 1);
    assert_int_equal(schedule_windows(&base, 59), 1);
    assert_int_equal(schedule_windows(&base, 60), 4);
    assert_int_equal(schedule_windows(&base, 1000), 4);

    Schedule from_start = base;
    from_start.update_every_after = 0;
    assert_int_equal(schedule_windows(&from_start, 1), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_up_is_a_straight_line),
        cmocka_unit_test(cosine_falls_from_peak_to_end),
        cmocka_unit_test(end_holds_from_decay_on),
        cmocka_unit_test(there_may_be_no_warm_up),
        cmocka_unit_test(a_decay_within_warm_up_ends_it_at_once),
        cmocka_unit_test(windows_switch_at_update_every_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
