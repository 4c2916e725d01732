/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/attention_scores.h"

#include <math.h>
#include <stdint.h>

#include "src/tensor/cpu/random_block.h"

AttentionTile attention_tile(const PackedSource *packed, int query, int m, int slot)
{
    AttentionTile tile = {.query = query, .m = m, .slot = slot};
    tile.n = smaller(KEY_TILE, packed->count - slot);
    tile.limit = tile.n;
    if (packed->source->causal) {
        tile.limit = query - (packed->first + slot) + 1;
        tile.n = smaller(tile.n, tile.limit + m - 1); /* what the last query sees */
    }
    if (tile.n < 0) tile.n = 0;
    return tile;
}

/* Overwrites the tile with the products of queries and positions; rows of the same residue, which
 * are every row_stride-th, in one go. */
static void position_scores(AttentionScratch *scratch, const AttentionCall *call,
                            const AttentionTile *tile)
{
    const PackedPositions *positions = scratch->packed.positions;
    int stride = scratch->packed.source->row_stride;
    for (int start = 0; start < stride && start < tile->m; start++) {
        int residue = (tile->query + start) % stride;
        int count = (tile->m - start + stride - 1) / stride;
        const Real *b = positions->transposed + residue * positions->transposed_set +
                        positions->origin + scratch->packed.first + tile->slot -
                        (tile->query + start) / stride;
        int step = tile->limit >= tile->n ? count : TILE_ROWS;
        for (int t = 0; t < count; t += step) {
            int m = smaller(step, count - t), i = start + stride * t;
            int n = attention_visible(tile, i + stride * (m - 1));
            if (n == 0) continue;
            tile_product_skewed((TileProduct){.c = scratch->scores + i * scratch->score_row,
                                              .c_row = stride * scratch->score_row,
                                              .a = scratch->query_position +
                                                   (ptrdiff_t)(tile->query + i) * call->padded_size,
                                              .a_row = (ptrdiff_t)stride * call->padded_size,
                                              .a_column = 1,
                                              .b = b - t,
                                              .b_row = positions->transposed_row,
                                              .m = m,
                                              .n = n,
                                              .k = call->head_size});
        }
    }
}

void attention_scores(AttentionScratch *scratch, const AttentionCall *call,
                      const AttentionTile *tile)
{
    const PackedSource *packed = &scratch->packed;
    if (packed->positions != NULL) position_scores(scratch, call, tile);

    int step = attention_step(tile);
    for (int i = 0; i < tile->m; i += step) {
        int m = smaller(step, tile->m - i), n = attention_visible(tile, i + m - 1);
        if (n == 0) continue;
        tile_product((TileProduct){.c = scratch->scores + i * scratch->score_row,
                                   .c_row = scratch->score_row,
                                   .a = scratch->query_content +
                                        (ptrdiff_t)(tile->query + i) * call->padded_size,
                                   .a_row = call->padded_size,
                                   .a_column = 1,
                                   .b = packed->keys_transposed + tile->slot,
                                   .b_row = packed->transposed_row,
                                   .m = m,
                                   .n = n,
                                   .k = call->head_size,
                                   .accumulate = packed->positions != NULL});
    }
}

Real attention_exp_row(Real *row, const AttentionTile *tile, int i, Real subtracted)
{
    int visible = attention_visible(tile, i), padded = round_up(visible, VECTOR_LANES);
    for (int j = visible; j < padded; j++) row[j] = -(Real)INFINITY;

    Vector sum = {0};
    for (int j = 0; j < padded; j += VECTOR_LANES) {
        Vector p = vector_exp2(vector_load(row + j) - subtracted);
        vector_store(row + j, p);
        sum += p;
    }
    for (int j = padded; j < tile->n + 2 * TILE_ROWS; j += VECTOR_LANES)
        vector_store(row + j, (Vector){0});

    Real total = 0;
    for (int lane = 0; lane < VECTOR_LANES; lane++) total += sum[lane];
    return total;
}

void attention_dropout_row(AttentionScratch *scratch, const AttentionCall *call, int source,
                           int row, int head, const AttentionTile *tile, int i)
{
    const AttentionQueries *queries = call->queries;
    RandomStream stream =
        random_substream(queries->dropout_stream, (uint64_t)(queries->first_row + row), 0);
    uint32_t threshold = cpu_dropout_threshold(queries->dropout_rate);
    Real kept = (Real)(1.0 / (1.0 - queries->dropout_rate));

    int64_t all_heads = queries->first_head + head;
    int64_t query = all_heads * call->length + tile->query + i;
    int64_t element = query * call->weights_per_query + call->first_weight[source] +
                      scratch->packed.first + tile->slot;
    int visible = attention_visible(tile, i);
    int word = (int)(element % 4); /* of the first index, where the tile begins */
    for (int j = 0; j < visible; word = 0) {
        uint32_t words[PAL_RANDOM_BLOCK];
        cpu_random_block(stream, (uint64_t)(element + j) / 4, words);
        int count = smaller(PAL_RANDOM_BLOCK - word, visible - j);
        for (int n = 0; n < count; n++)
            scratch->keep[j + n] = words[word + n] >= threshold ? kept : 0;
        j += count;
    }
}
