/* SPDX-License-Identifier: Apache-2.0
 *
 * `evaluate --sweep KEY=A,B,C`: the same weights with several sizes of one memory or of the window
 * (Rae et al. 2019, tables 8 and 9). Weights and data are read once; each size gets an arena of its
 * own, which is given back before the next.
 */
#ifndef PAL_RUN_SWEEP_H
#define PAL_RUN_SWEEP_H

#include "src/run/evaluation.h"
#include "src/run/trained.h"

enum { MOST_SIZES = 64 };

typedef struct Sweep {
    const char *key; /* "compressed_memory" */
    int count, done; /* sizes; those that have a result */
    int values[MOST_SIZES];
    ModelOptions *options;     /* (count) */
    EvaluationResult *results; /* (count) without documents */
} Sweep;

/* Local. Error (PAL_ERROR_USAGE): no such key, or no list of sizes. */
Status sweep_parse(Sweep *sweep, const char *text);

/* Collective over all ranks. Refuses sizes that the model cannot have, naming the value. */
Status sweep_check(Sweep *sweep, const Trained *trained, const TextList *sets);

/* Collective over all ranks, after the weights were loaded: a line for people after each size, and
 * the table at the end. Errors: those of evaluation_run. */
Status sweep_run(Sweep *sweep, Trained *trained, Evaluation *evaluation);

/* Local. FOLDER/sweep.csv, its plot, summary.json and report.html. Errors: those of report_write. */
Status sweep_report(const Sweep *sweep, const Trained *trained, const char *data,
                    const char *folder);

/* Local. A JSON object for each size that is done, a line each: also of a sweep that was stopped. */
Status sweep_print_json(const Sweep *sweep, const Trained *trained, const char *data);

void sweep_destroy(Sweep *sweep);

#endif
