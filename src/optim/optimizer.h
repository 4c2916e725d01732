/* SPDX-License-Identifier: Apache-2.0
 *
 * One update of all weights: gradients of sums become gradients of means, each of the two groups is
 * clipped by its own norm (so that the compression loss never shrinks a step of the main network),
 * and Adam moves the weights (Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019).
 */
#ifndef PAL_OPTIM_OPTIMIZER_H
#define PAL_OPTIM_OPTIMIZER_H

#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

typedef struct OptimizerOptions {
    double learning_rate;
    double clip; /* largest norm of a group's gradient; 0: no clipping */
    double weight_decay;
    int64_t update;            /* 1, 2, ... */
    double main_scale;         /* times the main group's gradient: 1 / counted targets */
    const double *layer_scale; /* (L) times the compression gradients of each layer */
} OptimizerOptions;

/* Local: gradients are already summed over the data group, so every rank takes the same step.
 * norms: of the scaled gradients, before clipping. Uses up the gradients. False, with weights and
 * moments as before, where a norm is not finite. */
bool optimizer_step(Device *device, const Parameters *parameters, const OptimizerOptions *options,
                    double norms[GROUP_COUNT]);

#endif
