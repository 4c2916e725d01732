/* SPDX-License-Identifier: Apache-2.0
 *
 * What attention works on: the queries of one window, and up to three sources of keys (compressed
 * memory, memory, the window itself), by pointer, not concatenated.
 *
 * The logit of query i and slot j of a source, per head (Dai et al. 2019, eq. in section 3.3):
 *
 *     ( (q_i + content_bias) . k_j + (q_i + position_bias) . r[row(i,j)] ) * scale
 *     row(i,j) = row_offset + i - row_stride * j
 *
 * Without r a source is attended to by content alone (the compression loss).
 * Slot j is hidden from query i where j is not one of the newest valid[b] slots, or, in a causal
 * source, where j > i.
 */
#ifndef PAL_TENSOR_ATTENTION_TYPES_H
#define PAL_TENSOR_ATTENTION_TYPES_H

#include <stdbool.h>

#include "src/base/random.h"
#include "src/tensor/tensor.h"

enum { PAL_MAX_SOURCES = 3 };

typedef struct AttentionQueries {
    Tensor q;              /* (B,T,D), D = heads * E */
    Tensor content_bias;   /* (H,E) or none */
    int heads, first_head; /* H of the heads from first_head on: dropout counts all heads */
    double scale;
    int first_query;    /* queries before this one are left out */
    const int *counted; /* (B) host: queries from this one on are padding and left out */

    /* Dropout on attention weights: weight (head, query i, slot s) of row b, s counted over all
     * sources in order (K in all), is element ((first_head + head) * T + i) * Kpad + s, Kpad = K
     * rounded up to a multiple of 4, of the row's stream as in DeviceOps.dropout. */
    double dropout_rate;
    RandomStream dropout_stream;
    int64_t first_row;

    Tensor dq, dcontent_bias; /* backward adds into these; dcontent_bias none with content_bias */
} AttentionQueries;

typedef struct AttentionSource {
    Tensor k, v;          /* (B,S,D), oldest first; S may be 0 (then the source is skipped) */
    Tensor r;             /* (rows,D) projected relative positions, or none */
    Tensor position_bias; /* (H,E), with r */
    int64_t row_offset;
    int row_stride;
    const int *valid; /* (B) host: the newest so many slots count; NULL: all */
    bool causal;      /* the window itself: S = T */

    Tensor dk, dv, dr, dposition_bias; /* backward adds into these; none: not wanted. Sources may
                                          share dr and dposition_bias. */
} AttentionSource;

#endif
