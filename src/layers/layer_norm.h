/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer normalisation over the last dimension (Ba et al. 2016), epsilon 1e-5:
 *
 *     y = (x - mean) * rstd * scale + shift
 */
#ifndef PAL_LAYERS_LAYER_NORM_H
#define PAL_LAYERS_LAYER_NORM_H

#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

typedef struct LayerNorm {
    Weight scale, shift; /* (D) */
    Tensor mean, rstd;   /* (B,T) saved for backward */
} LayerNorm;

/* `name`: of the table rows NAME/scale and NAME/shift. */
void layer_norm_create(LayerNorm *norm, Arena *arena, const Parameters *parameters,
                       const char *name, int rows, int length);

void layer_norm_forward(Device *device, LayerNorm *norm, Tensor y, Tensor x);

/* Adds into dx and the gradients of scale and shift. */
void layer_norm_backward(Device *device, const LayerNorm *norm, Tensor dx, Tensor dy, Tensor x);

#endif
