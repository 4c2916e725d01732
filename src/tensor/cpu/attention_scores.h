/* SPDX-License-Identifier: Apache-2.0
 *
 * The logits of a tile, a block of queries against some slots of the packed source, and what turns
 * them into weights. All in scratch->scores, logits in base 2 (attention_pack.h).
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_SCORES_H
#define PAL_TENSOR_CPU_ATTENTION_SCORES_H

#include "src/tensor/cpu/attention_pack.h"

/* Queries [query, query + m) against packed slots [slot, slot + n). */
typedef struct AttentionTile {
    int query, m, slot, n;
    int limit; /* query number i of the tile sees its slots [0, min(n, limit + i)) */
} AttentionTile;

/* The tile of these queries that begins at packed slot `slot`; n is 0 behind the last one. */
AttentionTile attention_tile(const PackedSource *packed, int query, int m, int slot);

/* How many slots query number i of the tile sees. */
static inline int attention_visible(const AttentionTile *tile, int i)
{
    int seen = tile->limit + i < tile->n ? tile->limit + i : tile->n;
    return seen > 0 ? seen : 0;
}

/* Rows of a tile that one product takes: all, or one panel where each row sees another number of
 * slots. */
static inline int attention_step(const AttentionTile *tile)
{
    return tile->limit >= tile->n ? tile->m : TILE_ROWS;
}

/* The logits of a tile into scratch->scores. Hidden ones have no meaning. */
void attention_scores(AttentionScratch *scratch, const AttentionCall *call,
                      const AttentionTile *tile);

/* Row i of the tile becomes 2^(row - subtracted), 0 at hidden slots and a little behind the tile;
 * returns the sum. */
Real attention_exp_row(Real *row, const AttentionTile *tile, int i, Real subtracted);

/* Fills keep with 0 or 1 / (1 - rate) for row i of the tile. */
void attention_dropout_row(AttentionScratch *scratch, const AttentionCall *call, int source,
                           int row, int head, const AttentionTile *tile, int i);

#endif
