/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of the batch job that training runs in (SLURM_JOB_END_TIME): training asks itself to stop
 * as long before it as the last update and the last checkpoint may take.
 */
#ifndef PAL_RUN_JOB_LIMIT_H
#define PAL_RUN_JOB_LIMIT_H

/* {0}: no batch system, or one without a limit. */
typedef struct JobLimit {
    double end;          /* timer_seconds() of the job's end; 0: none is known */
    double fixed_lead;   /* seconds; 0: from what was measured */
    double guess;        /* seconds of a save, until there was one */
    double update, save; /* the longest so far, in seconds; 0: none so far */
} JobLimit;

/* Local. lead: jobs.lead, 0 for auto. bytes: of a checkpoint, for a first guess of its time. */
JobLimit job_limit_read(double lead, double bytes);

/* Local. Seconds before the job's end at which training stops. */
double job_limit_lead(const JobLimit *limit);

/* Local. An update took so long, and the longest save so far, 0 before the first; the request to
 * stop (base/stop.h) follows from them. */
void job_limit_measured(JobLimit *limit, double update, double longest_save);

#endif
