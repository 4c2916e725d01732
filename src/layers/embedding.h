/* SPDX-License-Identifier: Apache-2.0
 *
 * Token embedding:  h = embedding[token] * sqrt(D), then dropout.
 */
#ifndef PAL_LAYERS_EMBEDDING_H
#define PAL_LAYERS_EMBEDDING_H

#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

void embedding_forward(Device *device, Tensor h /* (B,T,D) */, const Window *window, Weight table,
                       double dropout_rate);

/* Adds into table.gradient; dh is used up (dropout is applied to it in place). */
void embedding_backward(Device *device, Tensor dh, const Window *window, Weight table,
                        double dropout_rate);

#endif
