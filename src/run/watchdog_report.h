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
    char host[PAL_HOST_SIZE];
    double seconds, limit; /* without progress, and allowed */
    Whereabouts at;
} WatchdogReport;

/* Local. One line for people, and one (key=value) that watchdog_report_read() understands. */
void watchdog_report_write(const WatchdogReport *report, FILE *out);
/* Local. From RUN/watchdog/rank-N.txt: whether there is one. Of `at`, the texts are not read. */
bool watchdog_report_read(WatchdogReport *report, const char *path);

/* Local. Who keeps the others waiting, in one sentence. reported[r]: reports[r] is there; hosts of
 * all ranks, PAL_HOST_SIZE bytes each. */
void watchdog_verdict(const WatchdogReport *reports, const bool *reported, const char *hosts,
                      int ranks, char *text, size_t size);

/* Local. Main thread, once: prepares watchdog_write_calls(). */
void watchdog_prepare_calls(void);
/* Local, another thread. The calls that the main thread is in, innermost first. */
void watchdog_write_calls(FILE *out);

#endif
