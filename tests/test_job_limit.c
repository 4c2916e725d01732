/* SPDX-License-Identifier: Apache-2.0
 *
 * How long before the end of its batch job a training asks itself to stop.
 */
#define _GNU_SOURCE /* setenv */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/stop.h"
#include "src/run/job_limit.h"

enum { BYTES = 40000 }; /* millions: a guess of 200 s */

static void expect_lead(const JobLimit *limit, double seconds)
{
    assert_true(fabs(job_limit_lead(limit) - seconds) < 1e-9);
}

/* Of a job that ends in so many seconds. */
static JobLimit limit_of(double seconds, double lead)
{
    char end[32];
    snprintf(end, sizeof end, "%.0f", (double)time(NULL) + seconds);
    setenv("SLURM_JOB_END_TIME", end, 1);
    return job_limit_read(lead, BYTES * 1e6);
}

static void the_longest_measured_counts(void **state)
{
    (void)state;
    JobLimit limit = limit_of(1e6, 0.0);
    expect_lead(&limit, 15.0 + 2.0 * 200.0);
    job_limit_measured(&limit, 3.0, 0.0);
    expect_lead(&limit, 15.0 + 2.0 * (3.0 + 200.0));
    job_limit_measured(&limit, 2.0, 20.0); /* a save was faster than the guess */
    expect_lead(&limit, 15.0 + 2.0 * (3.0 + 20.0));
    job_limit_measured(&limit, 5.0, 20.0);
    expect_lead(&limit, 15.0 + 2.0 * (5.0 + 20.0));
}

static void a_lead_that_is_given_stays(void **state)
{
    (void)state;
    JobLimit limit = limit_of(1e6, 60.0);
    job_limit_measured(&limit, 500.0, 700.0);
    expect_lead(&limit, 60.0);
}

/* 30 s are left: enough for an update of a second, not for one of ten. */
static void it_asks_when_the_time_has_come(void **state)
{
    (void)state;
    JobLimit limit = limit_of(30.0, 0.0);
    job_limit_measured(&limit, 1.0, 1.0);
    assert_int_equal(stop_requested(), STOP_NONE);
    job_limit_measured(&limit, 10.0, 1.0);
    assert_int_equal(stop_requested(), STOP_JOB_END);
    stop_at(STOP_JOB_END, 0.0);
}

static void without_an_end_it_never_asks(void **state)
{
    (void)state;
    unsetenv("SLURM_JOB_END_TIME");
    JobLimit limit = job_limit_read(0.0, BYTES * 1e6);
    job_limit_measured(&limit, 1e9, 1e9);
    assert_int_equal(stop_requested(), STOP_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_measured_counts),
        cmocka_unit_test(a_lead_that_is_given_stays),
        cmocka_unit_test(it_asks_when_the_time_has_come),
        cmocka_unit_test(without_an_end_it_never_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
