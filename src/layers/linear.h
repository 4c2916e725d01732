/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear map of the last dimension:  y = x W [+ bias],  W (in, out) row-major.
 */
#ifndef PAL_LAYERS_LINEAR_H
#define PAL_LAYERS_LINEAR_H

#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

static const Weight weight_none = {{0}, {0}, {0}};

void linear_forward(Device *device, Tensor y /* (rows,out) */, Tensor x /* (rows,in) */,
                    Weight weight, Weight bias /* or weight_none */);

/* y = relu(x W + bias), in one pass over y. */
void linear_relu_forward(Device *device, Tensor y, Tensor x, Weight weight, Weight bias);

/* Adds into dx (none: not wanted), weight.gradient and bias.gradient. */
void linear_backward(Device *device, Tensor dx, Tensor dy, Tensor x, Weight weight, Weight bias);

/* dx += dy W^T alone, for constant weights. */
void linear_backward_input(Device *device, Tensor dx, Tensor dy, Weight weight);

#endif
