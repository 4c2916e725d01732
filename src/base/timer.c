/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/timer.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double timer_seconds(void) { return read_clock(CLOCK_MONOTONIC); }

double timer_processor_seconds(void) { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

const char *phase_name(Phase phase)
{
    static const char *const names[PHASE_COUNT] = {
#define PAL_PHASE_ENTRY(name, text) [name] = text,
        PAL_PHASE_LIST(PAL_PHASE_ENTRY)
#undef PAL_PHASE_ENTRY
    };
    return names[phase];
}

/* Counts the running phase up to now, and returns now. */
static double count_running(PhaseTimes *times, const char *next)
{
    if (times->change != NULL) times->change(times->context, next);
    double now = timer_seconds();
    if (times->since > 0.0) times->seconds[times->current] += now - times->since;
    return now;
}

void phase_begin(PhaseTimes *times, Phase phase)
{
    if (times == NULL || (times->since > 0.0 && times->current == phase)) return;
    times->since = count_running(times, phase_name(phase));
    times->current = phase;
}

void phase_end(PhaseTimes *times)
{
    if (times == NULL) return;
    count_running(times, NULL);
    times->since = 0.0;
}

void phase_clear(PhaseTimes *times)
{
    memset(times->seconds, 0, sizeof times->seconds);
    memset(times->operations, 0, sizeof times->operations);
}
