/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention on the CPU: no (T,K) matrix is ever stored. The signatures are those of DeviceOps
 * (device.h), what is computed stands in attention_types.h.
 *
 * For one (row, head) and a block of queries, tiles of keys one after another:
 *
 *     s = scale ((q + u) k^T + skew((q + w) r^T))         skew: row i reads distances i - j
 *     p = exp(s - m), o = o exp(m_old - m) + p v          m: largest logit so far (online softmax)
 *
 * and backward, with p = exp(s - lse) computed again and delta = rowsum(do * o):
 *
 *     ds = p (do v^T - delta)     dv += p^T do     dk += ds^T (q + u)     dr += skew'(ds)^T (q + w)
 *     dq = scale (ds k + skew'(ds) r), whose two terms also sum to du and dw
 *
 *   attention_tiles      the kernel of all products, exp, transposition
 *   attention_work       the geometry of a call; which thread does which queries
 *   attention_pack       a thread's buffers; queries, keys and positions copied for the kernel
 *   attention_scores     tiles of logits and weights
 *   attention_gradients  what one tile adds to the gradients
 *   attention_sums       sums over rows and heads that several threads may have parts of
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_H
#define PAL_TENSOR_CPU_ATTENTION_H

#include "src/tensor/device.h"

/* Left-out queries, and queries that see no slot at all, get o = 0 and lse = 0. */
void cpu_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                           const AttentionSource *sources, int num_sources);

void cpu_attention_backward(Device *device, const AttentionQueries *queries,
                            const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                            Tensor dout);

void cpu_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                         const AttentionSource *source, Tensor lse);

/* The scratch of the dearest of the three; it depends on shapes and threads only. */
Status cpu_reserve_attention(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources);

#endif
