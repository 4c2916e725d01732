/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic evaluation, the naive kind (Krause et al. 2018; Rae et al. 2019, section 5.3): one epoch
 * of further training on the text that is evaluated. Documents come in their own order; every
 * window is predicted and counted before the weights that predicted it learn from it. Adam begins
 * with zero moments and keeps one rate; there is no dropout; clipping, weight decay and the
 * compression loss are those of training. The checkpoint stays as it is.
 *
 * With rows R and windows W of an update, each update learns from R W windows, which were all
 * predicted by the same weights: numbers depend on both, but not on the grid beyond rounding.
 */
#ifndef PAL_RUN_DYNAMIC_EVALUATION_H
#define PAL_RUN_DYNAMIC_EVALUATION_H

#include "src/run/collector.h"
#include "src/run/evaluation_result.h"
#include "src/run/measures.h"
#include "src/run/trained.h"
#include "src/run/training.h"

typedef struct DynamicEvaluation {
    Trained *trained; /* borrowed */
    Training training;
    Collector collector;
    Measures measures;
    bool has_measures;
    DynamicProtocol protocol;
} DynamicEvaluation;

/* Local. Adds to the list what the configuration has to say of rows and windows; the texts live in
 * `room`. Error: the list is full. */
Status dynamic_sets(const DynamicProtocol *protocol, TextList *sets, char room[2][64]);

/* Collective over all ranks; trained was opened with USE_TRAINS and dynamic_sets. Takes all memory,
 * seals the arena and loads the weights. protocol->rate 0: a tenth of train.lr_peak, which is our
 * choice. Errors: those of the data file; rows that its text does not have. dynamic_destroy is due
 * in any case. */
Status dynamic_create(DynamicEvaluation *dynamic, Trained *trained, const char *path, Split split,
                      const DynamicProtocol *protocol, bool measures);

/* Collective over all ranks, once: the weights are others afterwards. Errors: as evaluation_run. */
Status dynamic_run(DynamicEvaluation *dynamic, const char *losses, EvaluationResult *result);

void dynamic_destroy(DynamicEvaluation *dynamic);

#endif
