/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests to stop, which batch systems send before they end a job: SIGUSR1 and SIGTERM, and times
 * that are up. A request is only a flag. Long work looks at it where its ranks can agree, leaves
 * everything in order and ends with PAL_STOPPED_EARLY; another SIGTERM, more than two seconds after
 * the first, ends the process at once.
 */
#ifndef PAL_BASE_STOP_H
#define PAL_BASE_STOP_H

/* The more urgent the higher: ranks agree on the most urgent. */
#define PAL_STOP_LIST(X)                            \
    X(STOP_NONE, "nothing")                         \
    X(STOP_MINUTES, "train.minutes is over")        \
    X(STOP_JOB_END, "the job's time limit is near") \
    X(STOP_SIGUSR1, "SIGUSR1")                      \
    X(STOP_SIGTERM, "SIGTERM")

typedef enum StopReason {
#define PAL_STOP_ENTRY(name, text) name,
    PAL_STOP_LIST(PAL_STOP_ENTRY)
#undef PAL_STOP_ENTRY
        STOP_COUNT
} StopReason;

/* Main thread, before any other thread is there: from now on the two signals are requests. For
 * programs that look at stop_requested(). */
void stop_listen(void);

/* A request for this reason (STOP_MINUTES or STOP_JOB_END) from the moment on when timer_seconds()
 * is `seconds`; a later call for the same reason replaces the moment, one that is not above 0
 * removes it. */
void stop_at(StopReason reason, double seconds);

/* This process' most urgent request. */
StopReason stop_requested(void);

const char *stop_text(StopReason reason);

#endif
