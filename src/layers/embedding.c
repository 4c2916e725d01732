/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/embedding.h"

#include <math.h>

static double factor(Tensor h) { return sqrt((double)h.dims[2]); }

void embedding_forward(Device *device, const Embedding *embedding, Tensor h, const Window *window)
{
    device->op->embedding_forward(device, tensor_as_matrix(h), embedding->table.value,
                                  window->inputs, embedding->first_token, factor(h));
}

void embedding_backward(Device *device, const Embedding *embedding, Tensor dh, const Window *window)
{
    device->op->embedding_backward(device, embedding->table.gradient, tensor_as_matrix(dh),
                                   window->inputs, embedding->first_token, factor(dh));
}
