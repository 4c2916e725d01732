/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/layer_norm.h"

void layer_norm_create(LayerNorm *norm, Arena *arena, const Parameters *parameters,
                       const char *name, int rows, int length)
{
    norm->scale = parameters_get(parameters, "%s/scale", name);
    norm->shift = parameters_get(parameters, "%s/shift", name);
    norm->mean = arena_tensor_2d(arena, PURPOSE_ACTIVATIONS, rows, length);
    norm->rstd = arena_tensor_2d(arena, PURPOSE_ACTIVATIONS, rows, length);
}

void layer_norm_forward(Device *device, LayerNorm *norm, Tensor y, Tensor x)
{
    device->op->layer_norm_forward(device, y, norm->mean, norm->rstd, x, norm->scale.value,
                                   norm->shift.value);
}

void layer_norm_backward(Device *device, const LayerNorm *norm, Tensor dx, Tensor dy, Tensor x)
{
    device->op->layer_norm_backward(device, dx, norm->scale.gradient, norm->shift.gradient,
                                    norm->mean, norm->rstd, dy, x, norm->scale.value);
}
