/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/attention_counts.h"

#include "src/base/checked.h"
#include "src/base/status.h"

/* `low` wins where it is larger than `high`. */
static int limited(int x, int low, int high)
{
    int lowered = x > high ? high : x;
    return lowered < low ? low : lowered;
}

static int length_of(const AttentionQueries *queries) { return checked_int(queries->q.dims[1]); }

int attention_first_query(const AttentionQueries *queries)
{
    return limited(queries->first_query, 0, length_of(queries));
}

int attention_last_query(const AttentionQueries *queries, int row)
{
    int length = length_of(queries);
    return queries->counted == NULL ? length : limited(queries->counted[row], 0, length);
}

/* By their shape, so that it is known also of keys that there was no memory for. */
int attention_slots(const AttentionSource *source) { return (int)source->k.dims[1]; }

int attention_first_slot(const AttentionSource *source, int row)
{
    int slots = attention_slots(source);
    return source->valid == NULL ? 0 : slots - limited(source->valid[row], 0, slots);
}

/* 0 + 1 + ... + n, or 0 for negative n */
static int64_t triangle(int64_t n) { return n > 0 ? n * (n + 1) / 2 : 0; }

int64_t attention_pairs(const AttentionSource *source, int row, int first, int last)
{
    int slots = attention_slots(source), hidden = attention_first_slot(source, row);
    if (last <= first) return 0;
    if (!source->causal) return (int64_t)(last - first) * (slots - hidden);
    /* Query i sees slots hidden ... i; a causal source has a slot for every query. */
    PAL_ASSERT(last <= slots);
    return triangle(last - hidden) - triangle(first - hidden);
}

bool attention_wants_query_gradients(const AttentionQueries *queries, const AttentionSource *source)
{
    return tensor_exists(queries->dq) || tensor_exists(queries->dcontent_bias) ||
           tensor_exists(source->dposition_bias);
}

static double product_operations(const AttentionQueries *queries, const AttentionSource *source)
{
    int64_t pairs = 0;
    for (int row = 0; row < queries->q.dims[0]; row++)
        pairs += attention_pairs(source, row, attention_first_query(queries),
                                 attention_last_query(queries, row));
    return 2.0 * (double)queries->q.dims[2] * (double)pairs;
}

double attention_forward_operations(const AttentionQueries *queries, const AttentionSource *source)
{
    return product_operations(queries, source) * (tensor_exists(source->r) ? 3 : 2);
}

double attention_usage_operations(const AttentionQueries *queries, const AttentionSource *source)
{
    return product_operations(queries, source) * (tensor_exists(source->r) ? 2 : 1);
}

double attention_backward_operations(const AttentionQueries *queries, const AttentionSource *source)
{
    bool dqueries = attention_wants_query_gradients(queries, source),
         positions = tensor_exists(source->r);
    int products = 1 + tensor_exists(source->dv) + tensor_exists(source->dk) + dqueries +
                   (positions && dqueries) + (positions && tensor_exists(source->dr));
    return products * product_operations(queries, source);
}
