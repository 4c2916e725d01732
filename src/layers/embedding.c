/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/embedding.h"

#include <math.h>

#include "src/layers/dropout.h"

static double embedding_factor(Weight table) { return sqrt((double)table.value.dims[1]); }

void embedding_forward(Device *device, Tensor h, const Window *window, Weight table,
                       double dropout_rate)
{
    device->op->embedding_forward(device, tensor_as_matrix(h), table.value, window->inputs,
                                  embedding_factor(table));
    dropout_apply(device, h, window, DROPOUT_EMBEDDING, 0, dropout_rate);
}

void embedding_backward(Device *device, Tensor dh, const Window *window, Weight table,
                        double dropout_rate)
{
    dropout_apply(device, dh, window, DROPOUT_EMBEDDING, 0, dropout_rate);
    device->op->embedding_backward(device, table.gradient, tensor_as_matrix(dh), window->inputs,
                                   embedding_factor(table));
}
