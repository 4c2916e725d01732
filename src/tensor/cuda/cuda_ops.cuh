/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations of the CUDA device, by file; see DeviceOps (device.h) for what each computes.
 */
#ifndef PAL_TENSOR_CUDA_CUDA_OPS_CUH
#define PAL_TENSOR_CUDA_CUDA_OPS_CUH

#include "src/tensor/cuda/common.cuh"

/* host_copy.cu */
void *cuda_allocate_host(Device *device, size_t bytes);
void cuda_release_host(Device *device, void *start);
void cuda_upload(Device *device, Tensor to, const Real *from);
void cuda_download(Device *device, Real *to, Tensor from);
void cuda_upload_begin(Device *device, Tensor to, const Real *from);
void cuda_download_begin(Device *device, Real *to, Tensor from);
int64_t cuda_mark(Device *device);
void cuda_wait(Device *device, int64_t mark);
void cuda_synchronize(Device *device);

/* ranges.cu */
void cuda_enter_phase(Device *device, const char *name);

/* matmul.cu */
void cuda_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options);

/* layer_norm.cu */
void cuda_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                             Tensor scale, Tensor shift);
void cuda_layer_norm_backward(Device *device, Tensor dx, Tensor dscale, Tensor dshift, Tensor mean,
                              Tensor rstd, Tensor dy, Tensor x, Tensor scale);

/* embedding.cu */
void cuda_embedding_forward(Device *device, Tensor y, Tensor table, const int32_t *tokens,
                            int64_t first_token, double factor);
void cuda_embedding_backward(Device *device, Tensor dtable, Tensor dy, const int32_t *tokens,
                             int64_t first_token, double factor);

/* cross_entropy.cu */
void cuda_cross_entropy(Device *device, Tensor nats, Tensor logits, const int32_t *targets,
                        bool gradient);
void cuda_cross_entropy_slice(Device *device, Tensor part, Tensor logits, const int32_t *targets,
                              int64_t first_token);
void cuda_cross_entropy_join(Device *device, Tensor nats, Tensor logits, Tensor parts,
                             const int32_t *targets, int64_t first_token, bool gradient);

/* activation.cu */
void cuda_relu_backward(Device *device, Tensor dy, Tensor y);
void cuda_gelu_forward(Device *device, Tensor y, Tensor x);
void cuda_gelu_backward(Device *device, Tensor dy, Tensor x);

/* dropout.cu */
void cuda_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate);

/* elementwise.cu */
void cuda_fill(Device *device, Tensor x, double value);
void cuda_scale(Device *device, Tensor x, double factor);
void cuda_add(Device *device, Tensor y, Tensor x);
void cuda_copy_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from,
                      int64_t from_stride, int64_t blocks, int64_t length);

/* sums.cu */
void cuda_add_column_sums(Device *device, Tensor bias, Tensor x);
double cuda_sum(Device *device, Tensor x);
double cuda_sum_of_squares(Device *device, Tensor x);
double cuda_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask);

/* compression.cu */
void cuda_pool_mean(Device *device, Tensor y, Tensor x);
void cuda_pool_max(Device *device, Tensor y, Tensor x);
void cuda_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance);
void cuda_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance);
void cuda_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen);

/* adam.cu */
void cuda_adam(Device *device, Tensor w, Tensor m, Tensor v, Tensor g, AdamOptions options);

#endif
