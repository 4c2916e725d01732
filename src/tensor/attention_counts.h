/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call of attention (attention_types.h) works on, in numbers: who takes part, how many pairs
 * are visible, and the operations that a device counts for them.
 */
#ifndef PAL_TENSOR_ATTENTION_COUNTS_H
#define PAL_TENSOR_ATTENTION_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/attention_types.h"

/* Queries [first, last) of row b take part. */
int attention_first_query(const AttentionQueries *queries);
int attention_last_query(const AttentionQueries *queries, int row);

/* Slots of a source; slots before the first valid one are hidden from all queries of the row. */
int attention_slots(const AttentionSource *source);
int attention_first_slot(const AttentionSource *source, int row);

/* Visible pairs of queries [first, last) of one row and head with one source. */
int64_t attention_pairs(const AttentionSource *source, int row, int first, int last);

/* Any of dq, dcontent_bias and the source's dposition_bias is wanted. */
bool attention_wants_query_gradients(const AttentionQueries *queries,
                                     const AttentionSource *source);

/* Operations over one source, 2 E times all its visible pairs for each product. Forward: content,
 * positions, values; usage: without the values. Backward: do v^T, and of the rest what is wanted;
 * the logits are not counted again. */
double attention_forward_operations(const AttentionQueries *queries, const AttentionSource *source);
double attention_usage_operations(const AttentionQueries *queries, const AttentionSource *source);
double attention_backward_operations(const AttentionQueries *queries,
                                     const AttentionSource *source);

#endif
