/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of cpu_ops.h and attention.h whose tensors may also be bfloat16 (device.h says
 * which): these stand in the device's table.
 */
#ifndef PAL_TENSOR_CPU_MIXED_H
#define PAL_TENSOR_CPU_MIXED_H

#include "src/tensor/device.h"

/* The scratch of operations other than attention. Error: out of memory. */
Status mixed_reserve(Device *device, OperationSizes sizes);

void mixed_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options);
Status mixed_reserve_attention(Device *device, const AttentionQueries *queries,
                               const AttentionSource *sources, int num_sources);
void mixed_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources);
void mixed_attention_backward(Device *device, const AttentionQueries *queries,
                              const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                              Tensor dout);
void mixed_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                           const AttentionSource *source, Tensor lse);
void mixed_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                              Tensor scale, Tensor shift);
void mixed_relu_backward(Device *device, Tensor dy, Tensor y);
void mixed_gelu_forward(Device *device, Tensor y, Tensor x);
void mixed_gelu_backward(Device *device, Tensor dy, Tensor x);
void mixed_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate);
void mixed_fill(Device *device, Tensor x, double value);
void mixed_scale(Device *device, Tensor x, double factor);
void mixed_add(Device *device, Tensor y, Tensor x);
void mixed_add_column_sums(Device *device, Tensor bias, Tensor x);
double mixed_sum(Device *device, Tensor x);
double mixed_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask);
void mixed_pool_mean(Device *device, Tensor y, Tensor x);
void mixed_pool_max(Device *device, Tensor y, Tensor x);
void mixed_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance);
void mixed_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance);
void mixed_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen);

#endif
