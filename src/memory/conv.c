/* SPDX-License-Identifier: Apache-2.0
 *
 * One-dimensional convolution with kernel = stride = c and no bias:
 *
 *     fresh_g = sum_k slot_{gc+k} W_k,     weight (cD, D), tap k in rows kD ..
 *
 * A group of c slots is one row of c D numbers, so this is one matrix product.
 */
#include "src/layers/linear.h"
#include "src/memory/compression.h"

static Tensor groups(Tensor slots, Weight conv)
{
    int64_t group = conv.value.dims[0];
    return tensor_reshape_2d(slots, tensor_count(slots) / group, group);
}

void conv_compress(Device *device, const Compressor *compressor, Tensor evicted)
{
    linear_forward(device, compressor->work->fresh, groups(evicted, compressor->conv),
                   compressor->conv, weight_none);
}

void conv_compress_backward(Device *device, const Compressor *compressor, Tensor evicted)
{
    linear_backward(device, tensor_none, compressor->work->dfresh,
                    groups(evicted, compressor->conv), compressor->conv, weight_none);
}
