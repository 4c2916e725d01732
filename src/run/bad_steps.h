/* SPDX-License-Identifier: Apache-2.0
 *
 * Which updates are not made: those whose loss or gradient norm is not finite, and, with
 * train.spike_z > 0, those whose loss stands out of the recent ones. Arithmetic alone, in double,
 * on numbers that every rank has after an update's reduction: all come to the same verdict.
 *
 *     z = (loss - mean) / deviation         of the last 128 updates that were made; 0 until there
 *     deviation^2 = sum (x - mean)^2 / 127  are so many, and where all of them are equal
 *
 * After train.max_skips in a row the run goes back to a checkpoint (rewinding.h); after three times
 * without having come further than before it ends. What decides about that is the StepHistory,
 * which checkpoints hold. All functions are local.
 */
#ifndef PAL_RUN_BAD_STEPS_H
#define PAL_RUN_BAD_STEPS_H

#include <stdbool.h>

#include "io/checkpoint.h"

enum { MOST_REWINDS = 3 };

typedef enum StepVerdict {
    STEP_GOOD,
    STEP_LOSS_NOT_FINITE,
    STEP_NORM_NOT_FINITE,
    STEP_SPIKE,
    STEP_VERDICT_COUNT
} StepVerdict;

typedef struct BadSteps {
    double spike_z; /* 0: no loss stands out */
    int max_skips;
    StepHistory history;
} BadSteps;

/* "spike", for files, and "the loss is a spike", for people. */
const char *bad_steps_name(StepVerdict verdict);
const char *bad_steps_text(StepVerdict verdict);

double bad_steps_z(const BadSteps *steps, double loss);

/* Of an update with this loss and these gradient norms. */
StepVerdict bad_steps_judge(const BadSteps *steps, double loss, const double *norms, int count);

/* The update has ended so: made, or skipped. */
void bad_steps_count(BadSteps *steps, StepVerdict verdict, int64_t update, double loss);

/* So many were skipped in a row that the run must go back; and whether it may. */
bool bad_steps_too_many(const BadSteps *steps);
bool bad_steps_may_rewind(const BadSteps *steps);

/* It has gone back from this update to a checkpoint with this history. */
void bad_steps_rewind(BadSteps *steps, const StepHistory *saved, int64_t from);

#endif
