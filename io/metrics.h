/* SPDX-License-Identifier: Apache-2.0
 *
 * RUN/metrics.jsonl: one JSON object a line, for plots and scripts.
 *
 *     metrics_begin(metrics, "train");
 *     metrics_integer(metrics, "update", 10);
 *     metrics_number(metrics, "loss", 2.5);
 *     PAL_TRY(metrics_end(metrics));                 {"kind": "train", "update": 10, "loss": 2.5}
 *
 * Numbers keep every bit; NaN and infinities are null. Every line is flushed.
 */
#ifndef PAL_IO_METRICS_H
#define PAL_IO_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/status.h"

typedef struct Metrics Metrics;

/* Local; one rank writes. path NULL: lines are built for metrics_line() and written nowhere.
 * What the file has stays: see metrics_keep(). Errors: PAL_ERROR_CANT_CREATE; PAL_ERROR_BUSY:
 * another process has the file open here. */
Status metrics_open(Metrics **metrics, const char *path);

/* Where a run goes on. */
typedef struct MetricsPlace {
    int64_t update;    /* -1: it begins */
    int64_t evaluated; /* update after which was evaluated last */
    int64_t rewinds;   /* times that it has gone back to this update */
} MetricsPlace;

/* Local. Removes the lines of what comes after this place, and one that is not whole, so that a run
 * that goes on from there has each once; says what is missing or foreign. Error: PAL_ERROR_IO. */
Status metrics_keep(Metrics *metrics, MetricsPlace place);
/* Local. Accepts NULL, sets NULL. Error (PAL_ERROR_IO): lines were lost. */
Status metrics_close(Metrics **metrics);

/* Local. The functions below accept NULL and then do nothing. */
void metrics_begin(Metrics *metrics, const char *kind);
void metrics_integer(Metrics *metrics, const char *name, int64_t value);
void metrics_number(Metrics *metrics, const char *name, double value);
void metrics_text(Metrics *metrics, const char *name, const char *value);
/* Local. Writes the line. Where it cannot be written, e.g. on a full disk, the first time is warned
 * about and the line is lost. Error (PAL_ERROR_UNAVAILABLE): no memory for it. */
Status metrics_end(Metrics *metrics);

/* Local. The latest finished line, without newline; empty before the first. */
const char *metrics_line(const Metrics *metrics);

#endif
