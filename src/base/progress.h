/* SPDX-License-Identifier: Apache-2.0
 *
 * How far long work is, with its rate and the time left: a bar on a terminal, nothing in files.
 */
#ifndef PAL_BASE_PROGRESS_H
#define PAL_BASE_PROGRESS_H

#include <stdint.h>

typedef struct Progress {
    const char *label, *unit; /* borrowed */
    int64_t total;
    double scale;          /* units in one of what is counted: 1, or 1e-6 for bytes in MB */
    double started, shown; /* moments */
} Progress;

/* With scale 1. */
Progress progress_begin(const char *label, int64_t total, const char *unit);

/* Local; at most a few times a second something is drawn. */
void progress_show(Progress *progress, int64_t done);

/* "1:02:03" or "2:03" of so many seconds. */
const char *duration_text(double seconds, char text[32]);

#endif
