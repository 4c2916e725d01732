/* SPDX-License-Identifier: Apache-2.0
 *
 * What a report says beyond losses, measured while a split is read: attention by bucket, the
 * compression loss of each layer, losses by the target's frequency. For a model that reads
 * (evaluation.h) or trains (dynamic_evaluation.h). Without measures a model does none of it.
 *
 *     measures_create(...);                         before the arena is sealed
 *     measures_begin(m);
 *         ... a window, or an update ...            measures_after(m);
 *     measures_end(m);                              now the numbers are those of all ranks
 */
#ifndef PAL_RUN_MEASURES_H
#define PAL_RUN_MEASURES_H

#include "io/dataset.h"
#include "src/run/attention_measure.h"
#include "src/run/frequency.h"

typedef struct Measures {
    const Grid *grid; /* borrowed */
    Model *model;     /* borrowed */
    AttentionMeasure attention;
    LossSum *compression; /* (L) */
    Frequency frequency;
    bool has_frequency;   /* the data file has a training split, and its counts */
    bool has_compression; /* some layer has a compression loss of its own */
} Measures;

/* Collective over all ranks, before the arena is sealed. micro_batches: most of them between two
 * calls of measures_after. Error: the data file's counts cannot be read. */
Status measures_create(Measures *measures, const Grid *grid, Arena *arena, Model *model,
                       Dataset *dataset, int micro_batches);

/* Local. */
void measures_begin(Measures *measures);

/* Collective over the pipeline group, after the same micro-batches on all of its ranks. */
void measures_after(Measures *measures);

/* Collective over all ranks. */
void measures_end(Measures *measures);

#endif
