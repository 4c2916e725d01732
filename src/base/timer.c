/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/timer.h"

#include <stddef.h>
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

void phase_begin(PhaseTimes *times, Phase phase)
{
    if (times == NULL) return;
    phase_end(times);
    times->current = phase;
    times->since = timer_seconds();
}

void phase_end(PhaseTimes *times)
{
    if (times == NULL) return;
    if (times->since > 0.0) times->seconds[times->current] += timer_seconds() - times->since;
    times->since = 0.0;
}
