/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention reconstruction (Rae et al. 2019, Algorithm 2): what the window's queries read from the
 * evicted slots should be what they read from the compressed ones,
 *
 *     mean over (rows, counted queries, heads, E) of
 *         ( softmax(Q K(evicted)^T) V(evicted) - softmax(Q K(fresh)^T) V(fresh) )^2,
 *     Q = a Wq / sqrt(E):  content only, no biases, no positions, no causal mask.
 *
 * Keys and values of the evicted slots are those that the window's attention has just computed.
 */
#include <math.h>

#include "src/layers/linear.h"
#include "src/memory/compression_loss.h"

/* When M < T the evicted block reaches into the window itself, and the queries before i = T - M are
 * left out. */
static int first_query(const LayerMemory *memory)
{
    int64_t reach = memory->window - memory_slots(memory);
    return reach > 0 ? (int)reach : 0;
}

/* Which slots and queries count: none in rows without a valid fresh slot. */
static double count_terms(CompressionLossWorkspace *work, const CompressionLossInput *input,
                          int64_t width)
{
    int window = input->memory->window, first = first_query(input->memory);
    double queries = 0.0;
    for (int b = 0; b < input->mark->rows; b++) {
        work->valid_evicted[b] = memory_valid_evicted(input->memory, input->mark, b);
        work->valid_fresh[b] = memory_valid_fresh(input->memory, input->mark, b);
        work->counted[b] = work->valid_fresh[b] > 0 ? input->window->counted[b] : 0;
        for (int i = 0; i < window; i++) {
            bool counts = i >= first && i < work->counted[b];
            work->mask[(int64_t)b * window + i] = counts;
            queries += counts;
        }
    }
    return queries * (double)width;
}

static AttentionQueries describe_queries(const CompressionLossWorkspace *work,
                                         const CompressionLossInput *input)
{
    const AttentionLayer *attention = input->attention;
    return (AttentionQueries){
        .q = attention->q,
        .heads = attention->heads,
        .scale = 1.0 / sqrt((double)attention->q.dims[2] / attention->heads), /* 1 / sqrt(E) */
        .first_query = first_query(input->memory),
        .counted = work->counted,
    };
}

void attention_reconstruction(Device *device, CompressionLossWorkspace *work,
                              const CompressionLossInput *input, LossSum *loss)
{
    const AttentionLayer *attention = input->attention;
    CompressionWorkspace *compression = input->compressor->work;
    double count = count_terms(work, input, attention->q.dims[2]);
    device->op->fill(device, compression->dfresh, 0.0);
    if (count == 0.0) return; /* on every rank of the tensor group alike */

    /* What the queries read from the evicted slots. */
    AttentionQueries queries = describe_queries(work, input);
    Range block = {0, input->memory->window};
    memory_evicted(device, work->evicted_k, attention->k[SOURCE_MEMORY],
                   attention->k[SOURCE_WINDOW], block);
    memory_evicted(device, work->evicted_v, attention->v[SOURCE_MEMORY],
                   attention->v[SOURCE_WINDOW], block);
    AttentionSource evicted = {
        .k = work->evicted_k, .v = work->evicted_v, .valid = work->valid_evicted};
    device->op->attention_forward(device, work->target, work->lse, &queries, &evicted, 1);

    /* What they read from the fresh ones. */
    sequence_gather(input->sequence, TRAFFIC_COMPRESSION, work->fresh, compression->fresh);
    linear_forward(device, work->fresh_k, work->fresh, attention->key, weight_none);
    linear_forward(device, work->fresh_v, work->fresh, attention->value, weight_none);
    AttentionSource fresh = {.k = work->fresh_k, .v = work->fresh_v, .valid = work->valid_fresh};
    device->op->attention_forward(device, work->prediction, work->lse_fresh, &queries, &fresh, 1);

    /* The target is read for the last time here; its buffer takes the gradient. */
    Tensor dprediction = work->target;
    loss->sum += device->op->squared_error(device, dprediction, tensor_as_matrix(work->prediction),
                                           tensor_as_matrix(work->target), work->mask);
    loss->count += count;
    if (!input->gradient) return;

    device->op->fill(device, work->dfresh_k, 0.0);
    device->op->fill(device, work->dfresh_v, 0.0);
    fresh.dk = work->dfresh_k;
    fresh.dv = work->dfresh_v;
    device->op->attention_backward(device, &queries, &fresh, 1, work->prediction, work->lse_fresh,
                                   dprediction);
    device->op->fill(device, work->dfresh, 0.0);
    linear_backward_input(device, work->dfresh, work->dfresh_k, attention->key);
    linear_backward_input(device, work->dfresh, work->dfresh_v, attention->value);
    sequence_scatter(input->sequence, TRAFFIC_COMPRESSION, compression->dfresh, work->dfresh);
}
