/* SPDX-License-Identifier: Apache-2.0
 *
 * Average attention of every layer while text is read (attention_buckets.h), by the model's layer
 * hook. Counted are rows whose memories are full: every slot holds what an earlier window of the
 * same document has left there. Heads are averaged over the tensor group; the mean over layers is
 * that of samples in which all layers count, and stages of a pipeline bring it together after the
 * window, since none may wait for the next within it.
 */
#ifndef PAL_RUN_ATTENTION_MEASURE_H
#define PAL_RUN_ATTENTION_MEASURE_H

#include "mpi/grid.h"
#include "src/model/model.h"
#include "src/run/attention_buckets.h"

/* What one stage knows of one sample: doubles only. */
typedef struct AttentionSample {
    double full_layers, queries;      /* the first stage brings the queries */
    double values[ATTENTION_BUCKETS]; /* summed over the stage's layers */
} AttentionSample;

typedef struct AttentionMeasure {
    const Grid *grid;         /* borrowed */
    const Model *model;       /* borrowed */
    Tensor usage;             /* (B,largest segment) */
    Real *weights;            /* the same on the host */
    double *window;           /* (layers of this stage, B, 18) of the running micro-batch */
    AttentionSums *sums;      /* (L + 1) every layer, and their mean */
    AttentionSample *waiting; /* (room) samples that stages have not brought together yet */
    int num_waiting, room, burst;
} AttentionMeasure;

/* Local, before the arena is sealed. Sets the model's layer hook. micro_batches: most of them
 * between two calls of attention_measure_share. */
void attention_measure_create(AttentionMeasure *measure, const Grid *grid, Arena *arena,
                              Model *model, int micro_batches);

/* Local. Forgets all samples. */
void attention_measure_begin(AttentionMeasure *measure);

/* Collective over the pipeline group, after the same micro-batches on all of its ranks. */
void attention_measure_share(AttentionMeasure *measure, bool all);

/* Collective over all ranks, at the end: sums over all ranks; then measure->sums is final. */
void attention_measure_end(AttentionMeasure *measure);

#endif
