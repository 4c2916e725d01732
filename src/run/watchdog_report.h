/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rank that makes no progress has to say, as text, and what follows from all ranks' reports.
 */
#ifndef PAL_RUN_WATCHDOG_REPORT_H
#define PAL_RUN_WATCHDOG_REPORT_H

#include <stddef.h>
#include <stdio.h>

#include "src/base/whereabouts.h"
#include "src/run/machine.h"

typedef struct WatchdogReport {
    int rank;
    double seconds, limit; /* without progress, and allowed */
    Whereabouts at;
} WatchdogReport;

/* What a rank's report says to the others. */
typedef enum RankState {
    RANK_MISSING, /* nothing: there is none */
    RANK_WAITS,   /* for other ranks */
    RANK_ALONE    /* it is with something of its own */
} RankState;

/* Local. One line. */
void watchdog_report_write(const WatchdogReport *report, FILE *out);
/* Local. From the first line of such a file. */
RankState watchdog_report_read(const char *path);

/* Local. Who keeps the others waiting, in one sentence. states: (ranks); hosts: of all ranks,
 * PAL_HOST_SIZE bytes each. */
void watchdog_verdict(const RankState *states, const char *hosts, int ranks, char *text,
                      size_t size);

/* Local. Main thread, once: prepares watchdog_write_calls(). */
void watchdog_prepare_calls(void);
/* Local, another thread. The calls that the main thread is in, innermost first. */
void watchdog_write_calls(FILE *out);

#endif
