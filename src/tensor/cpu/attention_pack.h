/* SPDX-License-Identifier: Apache-2.0
 *
 * One thread's buffers, and queries, keys and positions of one head copied for the kernel.
 *
 * A source is packed from its first valid slot on: packed slot 0 is slot `first`. Queries are
 * packed times scale * log2(e), so logits are in base 2 and exp is exp2; gradients that are sums
 * over these queries (dk, dr) come out log2(e) times too large.
 *
 * Positions. With c = row_stride and query i = residue + c t the row of the table, row_offset +
 * residue + c (t - j), depends on j - t only: for each residue the relative product is the diagonal
 * one of stride 1, and no stride costs more than another. So the table is packed, for each residue,
 * in columns x = origin + j - t, in which j ascends; rows outside the table are zero.
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_PACK_H
#define PAL_TENSOR_CPU_ATTENTION_PACK_H

#include <stddef.h>

#include "src/tensor/cpu/attention_tiles.h"
#include "src/tensor/cpu/attention_work.h"

/* Room around a row of logits, for what skewed products write and read there. */
enum {
    SCORE_MARGIN = (2 * TILE_ROWS + VECTOR_LANES - 1) / VECTOR_LANES * VECTOR_LANES,
};

typedef enum AttentionPass { PASS_FORWARD, PASS_BACKWARD, PASS_USAGE } AttentionPass;

typedef struct PackedPositions {
    Real *transposed; /* [residue] (E, columns), row step transposed_row */
    Real *rows;       /* [residue] (columns, Ep); backward */
    Real *gradient;   /* [residue] (columns, Ep); backward: d(positions) log2(e), summed by head */
    int columns, origin;
    ptrdiff_t transposed_row;
    ptrdiff_t transposed_set, rows_set; /* steps from residue to residue */
} PackedPositions;

typedef struct PackedSource {
    const AttentionSource *source;    /* borrowed */
    const PackedPositions *positions; /* of the source, NULL without r */
    int first, count;                 /* packed are slots [first, first + count) */
    Real *keys_transposed;            /* (E, count), row step transposed_row */
    Real *values_transposed;          /* the same; backward */
    Real *keys, *values;              /* (count, Ep); keys backward, values forward */
    ptrdiff_t transposed_row;
} PackedSource;

/* Sums over a whole head and over a whole row of it; see attention_sums.h. */
typedef struct AttentionSums {
    Real *dk[PAL_MAX_SOURCES], *dv[PAL_MAX_SOURCES];       /* (S, Ep) from slot 0 */
    Real *dr[PAL_MAX_SOURCES];                             /* like PackedPositions.rows */
    Real *dcontent_bias, *dposition_bias[PAL_MAX_SOURCES]; /* (Ep) */
} AttentionSums;

typedef struct AttentionScratch {
    PackedSource packed;
    PackedPositions positions[PAL_MAX_SOURCES];
    Real *query_content, *query_position;   /* (T, Ep): scale log2(e) (q + bias) */
    const Real *position_bias;              /* borrowed: that of query_position */
    Real *scores;                           /* (QUERY_BLOCK, KEY_TILE), row step score_row */
    Real *keep;                             /* (KEY_TILE) dropout factors of one query */
    Real *out, *maximum, *sum;              /* (T, Ep), (T), (T); forward */
    Real *dout, *dscores, *delta;           /* backward: (T, Ep), like scores, (T) */
    Real *dquery_content, *dquery_position; /* (T, Ep): dq / scale, its two terms; the second */
    Real *dquery_positions;                 /* of one source, and summed over sources */
    AttentionSums own, carried;
    ptrdiff_t score_row;
} AttentionScratch;

/* Lays the buffers out from `base` on and returns how many numbers they take; with base NULL it
 * only counts. */
size_t attention_scratch(AttentionScratch *scratch, const AttentionCall *call, AttentionPass pass,
                         Real *base);

void attention_pack_positions(AttentionScratch *scratch, const AttentionCall *call, int head,
                              AttentionPass pass);

/* Packs what queries before last_query see of a source; count is 0 when that is nothing. */
void attention_pack_source(AttentionScratch *scratch, const AttentionCall *call, int source,
                           int row, int head, int last_query, AttentionPass pass);

/* y (m,Ep) = factor (x (m,E) + bias (E)); bias may be NULL. x has row step `width`. */
void attention_pack_rows(Real *y, const AttentionCall *call, const Real *x, const Real *bias,
                         Real factor, int m);

/* The queries of some work with the content bias, and with the position bias of the source that is
 * packed. */
void attention_pack_queries(AttentionScratch *scratch, const AttentionCall *call,
                            const AttentionWork *work);
void attention_pack_position_queries(AttentionScratch *scratch, const AttentionCall *call,
                                     const AttentionWork *work);

#endif
