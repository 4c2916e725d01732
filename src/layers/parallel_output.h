/* SPDX-License-Identifier: Apache-2.0
 *
 * The output layer and the loss:
 *
 *     z = x Wout + bout,   Wout = embedding^T when tied
 *     nats = -log softmax(z)[target]
 *
 * In a tensor group each rank has its slice of the vocabulary; for each token the ranks exchange
 * three numbers (highest logit, sum of exponentials, the target's logit), never logits, and dx is
 * a partial sum over the group.
 *
 * Logits exist for one piece of the window at a time and become their own gradient in place; there
 * is no second logits buffer, and with a gradient wanted the products of backward follow at once.
 */
#ifndef PAL_LAYERS_PARALLEL_OUTPUT_H
#define PAL_LAYERS_PARALLEL_OUTPUT_H

#include "mpi/collectives.h"
#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

typedef struct OutputLayer {
    Weight table; /* (V',D) when tied, else (D,V') */
    Weight bias;  /* (V') */
    bool tied;
    int64_t first_token;
    const Group *group; /* the tensor group, borrowed */
    Tensor logits;      /* (piece, V') */
    Tensor rounded;     /* (piece, V') of operands: their gradient; logits itself in float32 */
    Tensor parts;       /* (P, piece, 3): what the slices contribute; none in a group of one */
} OutputLayer;

void output_create(OutputLayer *layer, Arena *arena, const Parameters *parameters,
                   const ModelOptions *options, const Placement *place, const Group *group);

/* Collective over the tensor group. nats (B,T), 0 where not counted. Unless dx (B,T,D) is none,
 * adds the gradient of the SUM of the nats into dx and into the weights' gradients. */
void output_loss(Device *device, OutputLayer *layer, Tensor nats, Tensor dx, Tensor x,
                 const Window *window);

/* logits (n,V') of n rows of x (n,D), for generation. */
void output_logits(Device *device, const OutputLayer *layer, Tensor logits, Tensor x);

#endif
