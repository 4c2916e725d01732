/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/attention_step.h"

#include "src/layers/linear.h"

/* The first n slots of (1,S,D). */
static Tensor first_slots(Tensor x, int n) { return tensor_part_3d(x, 0, 1, n, x.dims[2]); }

void attention_step(Device *device, AttentionLayer *layer, Tensor y, Tensor lse,
                    const AttentionInput *input, const Window *token, int i)
{
    PAL_ASSERT(layer->q.dims[0] == 1 && i < layer->q.dims[1]);
    Tensor a = window_position(input->source[SOURCE_WINDOW], i);
    Tensor k = layer->k[SOURCE_WINDOW], v = layer->v[SOURCE_WINDOW];
    Tensor o = window_position(layer->o, i);
    AttentionQueries queries = attention_describe_queries(layer, token, false);
    queries.q = window_position(layer->q, i);
    linear_forward(device, queries.q, a, layer->query, weight_none);
    linear_forward(device, window_position(k, i), a, layer->key, weight_none);
    linear_forward(device, window_position(v, i), a, layer->value, weight_none);

    /* The device counts this query as number 0; the rows of positions are those of number i. */
    AttentionSource sources[SOURCE_COUNT];
    attention_describe_sources(layer, input, sources);
    for (int s = 0; s < SOURCE_COUNT; s++) sources[s].row_offset += i;
    sources[SOURCE_WINDOW].k = first_slots(k, i + 1);
    sources[SOURCE_WINDOW].v = first_slots(v, i + 1);
    sources[SOURCE_WINDOW].causal = false;
    device->op->attention_forward(device, o, lse, &queries, sources, SOURCE_COUNT);
    device->op->copy_blocks(device, tensor_from(layer->lse, i), layer->lse.dims[2], lse, 1,
                            layer->heads, 1);

    linear_forward(device, y, o, layer->output, layer->output_bias);
}
