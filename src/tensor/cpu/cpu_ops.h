/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of the CPU device, as device.h describes them; device.c puts them into its table.
 * Attention is declared in cpu/attention.h.
 *
 * Every loop over much data is divided into as many parts as the device has threads (cpu/parts.h).
 */
#ifndef PAL_TENSOR_CPU_CPU_OPS_H
#define PAL_TENSOR_CPU_CPU_OPS_H

#include "src/tensor/device.h"

/* matmul.c */
void cpu_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options);

/* layer_norm.c */
void cpu_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                            Tensor scale, Tensor shift);
void cpu_layer_norm_backward(Device *device, Tensor dx, Tensor dscale, Tensor dshift, Tensor mean,
                             Tensor rstd, Tensor dy, Tensor x, Tensor scale);

/* embedding.c */
void cpu_embedding_forward(Device *device, Tensor y, Tensor table, const int32_t *tokens,
                           int64_t first_token, double factor);
void cpu_embedding_backward(Device *device, Tensor dtable, Tensor dy, const int32_t *tokens,
                            int64_t first_token, double factor);

/* cross_entropy.c */
void cpu_cross_entropy(Device *device, Tensor nats, Tensor logits, const int32_t *targets,
                       bool gradient);
void cpu_cross_entropy_slice(Device *device, Tensor part, Tensor logits, const int32_t *targets,
                             int64_t first_token);
void cpu_cross_entropy_join(Device *device, Tensor nats, Tensor logits, Tensor parts,
                            const int32_t *targets, int64_t first_token, bool gradient);

/* dropout.c */
void cpu_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate);

/* activation.c */
void cpu_relu_backward(Device *device, Tensor dy, Tensor y);
void cpu_gelu_forward(Device *device, Tensor y, Tensor x);
void cpu_gelu_backward(Device *device, Tensor dy, Tensor x);

/* elementwise.c */
void cpu_fill(Device *device, Tensor x, double value);
void cpu_scale(Device *device, Tensor x, double factor);
void cpu_add(Device *device, Tensor y, Tensor x);
void cpu_copy_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from, int64_t from_stride,
                     int64_t blocks, int64_t length);

/* host_copy.c */
void cpu_upload(Device *device, Tensor to, const Real *from);
void cpu_download(Device *device, Real *to, Tensor from);

/* sums.c */
void cpu_add_column_sums(Device *device, Tensor bias, Tensor x);
double cpu_sum(Device *device, Tensor x);
double cpu_sum_of_squares(Device *device, Tensor x);
double cpu_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask);

/* compression.c */
void cpu_pool_mean(Device *device, Tensor y, Tensor x);
void cpu_pool_max(Device *device, Tensor y, Tensor x);
void cpu_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance);
void cpu_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance);
void cpu_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen);

/* adam.c */
void cpu_adam(Device *device, Tensor w, Tensor m, Tensor v, Tensor g, AdamOptions options);

#endif
