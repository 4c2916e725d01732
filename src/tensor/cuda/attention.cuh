/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention on the GPU: no (T,K) matrix is ever in device memory. The signatures are those of
 * DeviceOps (device.h), what is computed stands in attention_types.h.
 *
 * A block has one (row, head) and a tile of queries, slots or positions; each of its warps has 16
 * of the tile's rows. One after the other come the tiles that these meet:
 *
 *     s = scale (Qc K^T + skew(Qp R^T))    Qc = q + content bias, Qp = q + position bias
 *     p = exp(s - m)                       m: largest logit so far (online softmax)
 *
 * The position term of a tile of slots is a product with twice as many rows of the table of
 * positions, of which query i reads those from i on: a warp's 16 queries need 16 rows more than the
 * tile has slots. The skew goes through the warp's own piece of shared memory.
 *
 * Backward is three kernels, each of which owns what it sums, so that no two blocks add to the same
 * number and the order of every sum is fixed:
 *
 *   attention_backward_queries    a tile of queries: dq; sums for the biases
 *   attention_backward_keys       a tile of slots: dk, dv
 *   attention_backward_positions  a tile of positions, over all rows of the batch: dr
 *
 * Each computes the weights once more from lse. Dropout draws the weights' own words anew.
 */
#ifndef PAL_TENSOR_CUDA_ATTENTION_CUH
#define PAL_TENSOR_CUDA_ATTENTION_CUH

#include "src/tensor/cuda/common.cuh"

/* Left-out queries, and queries that see no slot at all, get o = 0 and lse = 0. */
void cuda_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                            const AttentionSource *sources, int num_sources);

void cuda_attention_backward(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                             Tensor dout);

void cuda_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                          const AttentionSource *source, Tensor lse);

/* Errors: out of memory; a head size above 128, more rows than a grid has (78). */
Status cuda_reserve_attention(Device *device, const AttentionQueries *queries,
                              const AttentionSource *sources, int num_sources);

#endif
