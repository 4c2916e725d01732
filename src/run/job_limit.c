/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/job_limit.h"

#include <stdlib.h>
#include <time.h>

#include "src/base/stop.h"
#include "src/base/timer.h"

/* For ranks to start saving together, and for the launcher and the job script to end. */
#define MARGIN 15.0
/* Bytes per second: what a slow shared file system takes. */
#define FIRST_GUESS 2e8

static void set_moment(const JobLimit *limit)
{
    if (limit->end > 0.0) stop_at(STOP_JOB_END, limit->end - job_limit_lead(limit));
}

JobLimit job_limit_read(double lead, double bytes)
{
    JobLimit limit = {.fixed_lead = lead, .save = bytes / FIRST_GUESS};
    const char *text = getenv("SLURM_JOB_END_TIME"); /* seconds since 1970 */
    double end = text != NULL ? strtod(text, NULL) : 0.0;
    if (end > 0.0) limit.end = timer_seconds() + end - (double)time(NULL);
    set_moment(&limit);
    return limit;
}

/* Twice the longest: the next ones may take longer, and a request may come as an update begins. */
double job_limit_lead(const JobLimit *limit)
{
    if (limit->fixed_lead > 0.0) return limit->fixed_lead;
    return MARGIN + 2.0 * (limit->update + limit->save);
}

void job_limit_update(JobLimit *limit, double seconds)
{
    if (seconds > limit->update) limit->update = seconds;
    set_moment(limit);
}

void job_limit_save(JobLimit *limit, double seconds)
{
    if (seconds > limit->save) limit->save = seconds;
    set_moment(limit);
}
