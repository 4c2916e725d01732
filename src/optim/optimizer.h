/* SPDX-License-Identifier: Apache-2.0
 *
 * One update of all weights: gradients of sums become gradients of means, each of the two groups is
 * clipped by its own norm (so that the compression loss never shrinks a step of the main network),
 * and Adam moves the weights (Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019).
 *
 * Every rank of a data group updates its own pieces of the weights and has their moments alone
 * (mpi/buckets.h).
 */
#ifndef PAL_OPTIM_OPTIMIZER_H
#define PAL_OPTIM_OPTIMIZER_H

#include "mpi/buckets.h"
#include "mpi/collectives.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

/* What a rank's pieces have of one parameter. */
typedef struct Segment {
    const Parameter *row;
    int64_t flat, owned,
        count; /* numbers [flat, flat + count) lie at `owned` in the owned buffers */
} Segment;

typedef struct Optimizer {
    const Parameters *parameters; /* borrowed */
    Buckets buckets;
    Segment *segments; /* (num_segments) in flat order */
    int num_segments;
    Tensor gradient;                    /* (owned) sums over the data group */
    Tensor first_moment, second_moment; /* (owned) */
} Optimizer;

typedef struct OptimizerOptions {
    double learning_rate;
    double clip; /* largest norm of a group's gradient; 0: no clipping */
    double weight_decay;
    int64_t update;            /* 1, 2, ... */
    double main_scale;         /* times the main group's gradient: 1 / counted targets */
    const double *layer_scale; /* (L) times the compression gradients of each layer */
} OptimizerOptions;

/* Local. Moments of zero; `data` outlives the optimiser. */
void optimizer_create(Optimizer *optimizer, const Group *data, Arena *arena,
                      const Parameters *parameters);

/* Collective over the data group. Begins the sums of the gradients in [first, end) of the flat
 * buffer, which are final. */
void optimizer_reduce_begin(Optimizer *optimizer, int64_t first, int64_t end);

/* Local. In place of the two below: waits for what was begun and forgets it. */
void optimizer_abandon(Optimizer *optimizer);

/* Collective over all ranks (`world`), after all gradients were begun: waits for them. norms: of
 * the scaled gradients, before clipping, over all parameters; the same on every rank. Weights and
 * moments stay as they are; no second measurement of the same gradients. */
void optimizer_measure(Device *device, Optimizer *optimizer, const Group *world,
                       const OptimizerOptions *options, double norms[GROUP_COUNT]);

/* Collective over the data group, after optimizer_measure() with the same options, whose norms are
 * finite: steps, and brings the weights back to all ranks. */
void optimizer_step(Device *device, Optimizer *optimizer, const OptimizerOptions *options,
                    const double norms[GROUP_COUNT]);

#endif
