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
    JobLimit limit = {.fixed_lead = lead, .guess = bytes / FIRST_GUESS};
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
    double save = limit->save > 0.0 ? limit->save : limit->guess;
    return MARGIN + 2.0 * (limit->update + save);
}

void job_limit_measured(JobLimit *limit, double update, double longest_save)
{
    if (update > limit->update) limit->update = update;
    limit->save = longest_save;
    set_moment(limit);
}
