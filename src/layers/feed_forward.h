/* SPDX-License-Identifier: Apache-2.0
 *
 * The two-layer perceptron of every transformer layer:
 *
 *     y = dropout(act(x W1 + b1)) W2 + b2        act: relu or gelu (tanh form)
 *
 * In a tensor group each rank has F' = F/P columns of W1 and rows of W2; its y and dx are then
 * partial sums over the group, and one rank adds b2.
 */
#ifndef PAL_LAYERS_FEED_FORWARD_H
#define PAL_LAYERS_FEED_FORWARD_H

#include "src/layers/activations.h"
#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

typedef struct FeedForward {
    Weight in, in_bias, out, out_bias; /* (D,F'), (F'), (F',D), (D) */
    Activation activation;
    double dropout;
    int layer;
    int64_t first_channel, channels; /* of F: for dropout */
    Tensor hidden;                   /* (B,T,F') saved: after activation and dropout */
    Tensor before;                   /* (B,T,F') saved: before a gelu; none with relu */
} FeedForward;

void feed_forward_create(FeedForward *layer, Arena *arena, const Parameters *parameters,
                         const ModelOptions *options, const Placement *place,
                         const Activations *activations, int number);

void feed_forward_forward(Device *device, FeedForward *layer, Tensor y, Tensor x,
                          const Window *window, bool training);

/* Adds into dx and the weights' gradients. dhidden (B,T,F'): workspace. */
void feed_forward_backward(Device *device, const FeedForward *layer, Tensor dx, Tensor dhidden,
                           Tensor dy, Tensor x, const Window *window);

#endif
