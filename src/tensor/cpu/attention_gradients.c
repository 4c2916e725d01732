/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/attention_gradients.h"

#include <math.h>

/* dscores = do v^T */
static void weight_gradients(AttentionScratch *scratch, const AttentionCall *call,
                             const AttentionTile *tile)
{
    int step = attention_step(tile);
    for (int i = 0; i < tile->m; i += step) {
        int m = smaller(step, tile->m - i), n = attention_visible(tile, i + m - 1);
        if (n == 0) continue;
        tile_product(
            (TileProduct){.c = scratch->dscores + i * scratch->score_row,
                          .c_row = scratch->score_row,
                          .a = scratch->dout + (ptrdiff_t)(tile->query + i) * call->padded_size,
                          .a_row = call->padded_size,
                          .a_column = 1,
                          .b = scratch->packed.values_transposed + tile->slot,
                          .b_row = scratch->packed.transposed_row,
                          .m = m,
                          .n = n,
                          .k = call->head_size});
    }
}

/* p = exp(s - lse) and ds = p (dp - delta), in place of s and dp; zero where hidden and behind the
 * tile, for the skewed products. */
static void softmax_gradient_row(Real *p, Real *ds, const AttentionTile *tile, int i, Real lse,
                                 Real delta)
{
    int visible = attention_visible(tile, i), padded = round_up(visible, VECTOR_LANES);
    for (int j = visible; j < padded; j++) p[j] = -(Real)INFINITY;

    for (int j = 0; j < padded; j += VECTOR_LANES) {
        Vector weight = vector_exp2(vector_load(p + j) - lse);
        vector_store(p + j, weight);
        vector_store(ds + j, weight * (vector_load(ds + j) - delta));
    }
    for (int j = padded; j < tile->n + 2 * TILE_ROWS; j += VECTOR_LANES) {
        vector_store(p + j, (Vector){0});
        vector_store(ds + j, (Vector){0});
    }
}

/* With dropout o = (p * keep) v: dp = keep * (do v^T) before the softmax, dv gets p * keep. */
static void softmax_gradients(AttentionScratch *scratch, const AttentionCall *call, int source,
                              const AttentionWork *work, const AttentionTile *tile, const Real *lse)
{
    for (int i = 0; i < tile->m; i++) {
        Real *p = scratch->scores + i * scratch->score_row;
        Real *ds = scratch->dscores + i * scratch->score_row;
        Real lse_base_2 = lse[tile->query + i] * PAL_LOG2_E,
             delta = scratch->delta[tile->query + i];
        if (call->queries->dropout_rate > 0) {
            attention_dropout_row(scratch, call, source, work->row, work->head, tile, i);
            for (int j = 0; j < attention_visible(tile, i); j++) ds[j] *= scratch->keep[j];
        }
        softmax_gradient_row(p, ds, tile, i, lse_base_2, delta);
        if (call->queries->dropout_rate > 0)
            for (int j = 0; j < attention_visible(tile, i); j++) p[j] *= scratch->keep[j];
    }
}

/* sums (slots, Ep) += x^T rows, with x the tile's p or ds and rows its do or queries: dv and dk */
static void add_slot_sums(const AttentionScratch *scratch, const AttentionCall *call,
                          const AttentionTile *tile, Real *sums, const Real *x, const Real *rows)
{
    ptrdiff_t size = call->padded_size;
    int step = tile->limit >= tile->n ? tile->n : TILE_ROWS;
    for (int j = 0; j < tile->n; j += step) {
        int begin = larger(0, j + 1 - tile->limit); /* the first query that sees slot j */
        if (begin >= tile->m) break;
        tile_product((TileProduct){.c = sums + (tile->slot + j) * size,
                                   .c_row = size,
                                   .a = x + begin * scratch->score_row + j,
                                   .a_row = 1,
                                   .a_column = scratch->score_row,
                                   .b = rows + (tile->query + begin) * size,
                                   .b_row = size,
                                   .m = smaller(step, tile->n - j),
                                   .n = call->head_size,
                                   .k = tile->m - begin,
                                   .accumulate = true});
    }
}

/* dquery_content += ds k */
static void add_content_gradients(const AttentionScratch *scratch, const AttentionCall *call,
                                  const AttentionTile *tile)
{
    ptrdiff_t size = call->padded_size;
    int step = attention_step(tile);
    for (int i = 0; i < tile->m; i += step) {
        int m = smaller(step, tile->m - i);
        tile_product((TileProduct){.c = scratch->dquery_content + (tile->query + i) * size,
                                   .c_row = size,
                                   .a = scratch->dscores + i * scratch->score_row,
                                   .a_row = scratch->score_row,
                                   .a_column = 1,
                                   .b = scratch->packed.keys + tile->slot * size,
                                   .b_row = size,
                                   .m = m,
                                   .n = call->head_size,
                                   .k = attention_visible(tile, i + m - 1),
                                   .accumulate = true});
    }
}

/* The queries start, start + stride, ... of a tile, which share packed positions. Number t of them
 * and slot j of the tile meet in column x = column + j - t; ds is read along its diagonals, which
 * also touches the zeros beside the tile. */
typedef struct Residue {
    int start, count, stride;
    ptrdiff_t set;    /* of PackedPositions */
    ptrdiff_t column; /* where t = 0 meets slot 0 of the tile */
} Residue;

static Residue tile_residue(const PackedSource *packed, const AttentionTile *tile, int start)
{
    int stride = packed->source->row_stride;
    return (Residue){.start = start,
                     .count = (tile->m - start + stride - 1) / stride,
                     .stride = stride,
                     .set = (tile->query + start) % stride * packed->positions->rows_set,
                     .column = packed->positions->origin + packed->first + tile->slot -
                               (tile->query + start) / stride};
}

/* dquery_position[i] += sum over j of ds[i][j] positions[x(i, j)] */
static void add_position_query_gradients(const AttentionScratch *scratch, const AttentionCall *call,
                                         const AttentionTile *tile, Residue r)
{
    ptrdiff_t size = call->padded_size, score_row = scratch->score_row;
    for (int t = 0; t < r.count; t += TILE_ROWS) {
        int m = smaller(TILE_ROWS, r.count - t), i = r.start + r.stride * t;
        int n = attention_visible(tile, i + r.stride * (m - 1));
        if (n == 0) continue;
        /* From where the panel's last query meets slot 0 to where its first meets slot n - 1. */
        tile_product((TileProduct){.c = scratch->dquery_position + (tile->query + i) * size,
                                   .c_row = r.stride * size,
                                   .a = scratch->dscores + i * score_row - (m - 1),
                                   .a_row = r.stride * score_row + 1,
                                   .a_column = 1,
                                   .b = scratch->packed.positions->rows + r.set +
                                        (r.column - t - (m - 1)) * size,
                                   .b_row = size,
                                   .m = m,
                                   .n = call->head_size,
                                   .k = n + m - 1,
                                   .accumulate = true});
    }
}

/* sums[x(i, j)] += ds[i][j] query_position[i] */
static void add_position_sums(const AttentionScratch *scratch, const AttentionCall *call,
                              const AttentionTile *tile, Residue r, Real *sums)
{
    ptrdiff_t size = call->padded_size, score_row = scratch->score_row;
    int end = r.stride == 1 ? smaller(tile->n, tile->limit) : tile->n;
    /* d = j - t; rows x = column + d */
    for (int d = 1 - r.count; d < end; d += TILE_ROWS) {
        int m = smaller(TILE_ROWS, end - d);
        int t_begin = larger(0, 1 - d - m), t_end = smaller(r.count, tile->n - d);
        ptrdiff_t i = r.start + (ptrdiff_t)r.stride * t_begin;
        tile_product((TileProduct){.c = sums + r.set + (r.column + d) * size,
                                   .c_row = size,
                                   .a = scratch->dscores + i * score_row + d + t_begin,
                                   .a_row = 1,
                                   .a_column = r.stride * score_row + 1,
                                   .b = scratch->query_position + (tile->query + i) * size,
                                   .b_row = r.stride * size,
                                   .m = m,
                                   .n = call->head_size,
                                   .k = t_end - t_begin,
                                   .accumulate = true});
    }
}

void attention_tile_gradients(AttentionScratch *scratch, const AttentionCall *call,
                              int source_number, const AttentionWork *work,
                              const AttentionTile *tile, const Real *lse, const AttentionSums *sums)
{
    const AttentionSource *source = &call->sources[source_number];
    ptrdiff_t first = (ptrdiff_t)scratch->packed.first * call->padded_size;
    attention_scores(scratch, call, tile);
    weight_gradients(scratch, call, tile);
    softmax_gradients(scratch, call, source_number, work, tile, lse);

    if (tensor_exists(source->dv))
        add_slot_sums(scratch, call, tile, sums->dv[source_number] + first, scratch->scores,
                      scratch->dout);
    if (tensor_exists(source->dk))
        add_slot_sums(scratch, call, tile, sums->dk[source_number] + first, scratch->dscores,
                      scratch->query_content);
    if (attention_wants_query_gradients(call->queries, source))
        add_content_gradients(scratch, call, tile);
    if (scratch->packed.positions == NULL) return;
    for (int start = 0; start < source->row_stride && start < tile->m; start++) {
        Residue residue = tile_residue(&scratch->packed, tile, start);
        if (attention_wants_query_gradients(call->queries, source))
            add_position_query_gradients(scratch, call, tile, residue);
        if (tensor_exists(source->dr))
            add_position_sums(scratch, call, tile, residue, sums->dr[source_number]);
    }
}
