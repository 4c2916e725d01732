/* SPDX-License-Identifier: Apache-2.0
 *
 * Who adds what, so that the same call gives the same bits without atomics: dq belongs to the thread
 * that has the query. Sums over the queries of a row (dk, dv) and over a head (dr, du, dw) are added
 * to the result by the thread that begins the row or head. A thread that begins in the middle of one
 * carries its sums to the end, where they are added thread by thread. That is one row and one head
 * per thread at most, since shares are contiguous.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "src/base/status.h"
#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/attention_pack.h"
#include "src/tensor/cpu/context.h"

static int smaller(int a, int b) { return a < b ? a : b; }
static int larger(int a, int b) { return a > b ? a : b; }

/* --- one tile ------------------------------------------------------------------------------- */

/* dscores = do v^T */
static void weight_gradients(AttentionScratch *scratch, const AttentionCall *call,
                             const AttentionTile *tile)
{
    int step = attention_step(tile);
    for (int i = 0; i < tile->m; i += step) {
        int m = smaller(step, tile->m - i), n = attention_visible(tile, i + m - 1);
        if (n == 0) continue;
        tile_product((TileProduct){.c = scratch->dscores + i * scratch->score_row,
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
                              const AttentionWork *work, const AttentionTile *tile,
                              const Real *lse)
{
    for (int i = 0; i < tile->m; i++) {
        Real *p = scratch->scores + i * scratch->score_row;
        Real *ds = scratch->dscores + i * scratch->score_row;
        Real lse_base_2 = lse[tile->query + i] * PAL_LOG2_E, delta = scratch->delta[tile->query + i];
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
    ptrdiff_t set;    /* of PackedPositions                  */
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
static void add_position_query_gradients(const AttentionScratch *scratch,
                                         const AttentionCall *call, const AttentionTile *tile,
                                         Residue r)
{
    ptrdiff_t size = call->padded_size, score_row = scratch->score_row;
    for (int t = 0; t < r.count; t += TILE_ROWS) {
        int m = smaller(TILE_ROWS, r.count - t), i = r.start + r.stride * t;
        int n = attention_visible(tile, i + r.stride * (m - 1));
        if (n == 0) continue;
        /* From where the panel's last query meets slot 0 to where its first meets slot n - 1. */
        tile_product((TileProduct){
            .c = scratch->dquery_position + (tile->query + i) * size,
            .c_row = r.stride * size,
            .a = scratch->dscores + i * score_row - (m - 1),
            .a_row = r.stride * score_row + 1,
            .a_column = 1,
            .b = scratch->packed.positions->rows + r.set + (r.column - t - (m - 1)) * size,
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

/* --- one block of queries ------------------------------------------------------------------- */

static bool wants_query_gradients(const AttentionCall *call, const AttentionSource *source)
{
    return tensor_exists(call->queries->dq) || tensor_exists(call->queries->dcontent_bias) ||
           tensor_exists(source->dposition_bias);
}

static void backward_tile(AttentionScratch *scratch, const AttentionCall *call, int source_number,
                          const AttentionWork *work, const AttentionTile *tile, const Real *lse,
                          const AttentionSums *sums)
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
    if (wants_query_gradients(call, source)) add_content_gradients(scratch, call, tile);
    if (scratch->packed.positions == NULL) return;
    for (int start = 0; start < source->row_stride && start < tile->m; start++) {
        Residue residue = tile_residue(&scratch->packed, tile, start);
        if (wants_query_gradients(call, source))
            add_position_query_gradients(scratch, call, tile, residue);
        if (tensor_exists(source->dr))
            add_position_sums(scratch, call, tile, residue, sums->dr[source_number]);
    }
}

static void zero(Real *x, int64_t rows, int64_t columns)
{
    memset(x, 0, (size_t)(rows * columns) * sizeof(Real));
}

/* sums += factor * the sum of rows */
static void add_sum_of_rows(const AttentionCall *call, Real *sums, const Real *x, Real factor,
                            int begin, int end)
{
    for (int i = begin; i < end; i++)
        for (int e = 0; e < call->head_size; e++)
            sums[e] += factor * x[(ptrdiff_t)i * call->padded_size + e];
}

/* dposition_bias of this source, and its term of dq among those of the other sources */
static void add_position_terms(const AttentionScratch *scratch, const AttentionCall *call,
                               int source, const AttentionWork *work, const AttentionSums *sums)
{
    ptrdiff_t size = call->padded_size;
    add_sum_of_rows(call, sums->dposition_bias[source], scratch->dquery_position,
                    (Real)call->queries->scale, work->first, work->last);
    for (ptrdiff_t at = work->first * size; at < work->last * size; at++)
        scratch->dquery_positions[at] += scratch->dquery_position[at];
}

/* dq += scale (content terms + position terms) */
static void add_query_gradients(const AttentionScratch *scratch, const AttentionCall *call,
                                const AttentionWork *work, const AttentionSums *sums)
{
    Real scale = (Real)call->queries->scale;
    Tensor dq = call->queries->dq;
    add_sum_of_rows(call, sums->dcontent_bias, scratch->dquery_content, scale, work->first,
                    work->last);
    for (int i = work->first; i < work->last && tensor_exists(dq); i++) {
        const Real *content = scratch->dquery_content + (ptrdiff_t)i * call->padded_size;
        const Real *position = scratch->dquery_positions + (ptrdiff_t)i * call->padded_size;
        Real *to = dq.data + ((ptrdiff_t)work->row * call->length + i) * call->width +
                   (ptrdiff_t)work->head * call->head_size;
        if (i + PREFETCH_ROWS < work->last)
            prefetch_row(to + PREFETCH_ROWS * call->width, call->head_size);
        for (int e = 0; e < call->head_size; e++) to[e] += scale * (content[e] + position[e]);
    }
}

static void backward_source(AttentionScratch *scratch, const AttentionCall *call, int source,
                            const AttentionWork *work, const Real *lse, const AttentionSums *sums)
{
    attention_pack_position_queries(scratch, call, work);
    zero(scratch->dquery_position + (ptrdiff_t)work->first * call->padded_size,
         work->last - work->first, call->padded_size);
    for (int query = work->first; query < work->last; query += QUERY_BLOCK) {
        int m = smaller(QUERY_BLOCK, work->last - query);
        for (int slot = 0;; slot += KEY_TILE) {
            AttentionTile tile = attention_tile(&scratch->packed, query, m, slot);
            if (tile.n == 0) break;
            backward_tile(scratch, call, source, work, &tile, lse, sums);
        }
    }
    if (scratch->packed.positions != NULL) add_position_terms(scratch, call, source, work, sums);
}

/* --- sums over rows and heads --------------------------------------------------------------- */

/* to (rows, E), a head's slice of a (rows, D) tensor, += factor * sums (rows, Ep) */
static void add_rows(Real *to, ptrdiff_t to_row, const AttentionCall *call, const Real *sums,
                     Real factor, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        if (i + PREFETCH_ROWS < end)
            prefetch_row(to + (i + PREFETCH_ROWS) * to_row, call->head_size);
        for (int e = 0; e < call->head_size; e++)
            to[i * to_row + e] += factor * sums[i * call->padded_size + e];
    }
}

/* Part `part` of `parts` of what a row's sums add to dk and dv of one source. */
static void add_row_sums(const AttentionCall *call, int source_number, int row, int head,
                         const AttentionSums *sums, int part, int parts)
{
    const AttentionSource *source = &call->sources[source_number];
    int64_t slots = attention_slots(source), first = attention_first_slot(source, row);
    int64_t begin = first + (slots - first) * part / parts;
    int64_t end = first + (slots - first) * (part + 1) / parts;
    ptrdiff_t to = (ptrdiff_t)row * slots * call->width + (ptrdiff_t)head * call->head_size;
    if (tensor_exists(source->dk)) /* ds^T times queries packed with log2(e) */
        add_rows(source->dk.data + to, call->width, call, sums->dk[source_number], PAL_LN_2, begin,
                 end);
    if (tensor_exists(source->dv))
        add_rows(source->dv.data + to, call->width, call, sums->dv[source_number], 1, begin, end);
}

/* Part `part` of `parts` of the rows of dr: of the rows, since sources that share dr reach the same
 * row from different columns. The rows of a residue are every row_stride-th, descending in x. */
static void add_position_rows(const AttentionCall *call, const PackedPositions *positions,
                              int source_number, int head, const Real *sums, int part, int parts)
{
    const AttentionSource *source = &call->sources[source_number];
    int64_t begin = source->dr.dims[0] * part / parts;
    int64_t end = source->dr.dims[0] * (part + 1) / parts;
    for (int residue = 0; residue < source->row_stride; residue++)
        for (int64_t x = 0; x < positions->columns; x++) {
            int64_t row =
                source->row_offset + residue + source->row_stride * (positions->origin - x);
            if (row < begin || row >= end) continue;
            Real *to = source->dr.data + row * call->width + (ptrdiff_t)head * call->head_size;
            add_rows(to, 0, call, sums + residue * positions->rows_set + x * call->padded_size,
                     PAL_LN_2, 0, 1);
        }
}

static void add_head_sums(const AttentionCall *call, const AttentionScratch *scratch, int head,
                          const AttentionSums *sums, int part, int parts)
{
    Tensor dcontent_bias = call->queries->dcontent_bias;
    ptrdiff_t bias = (ptrdiff_t)head * call->head_size;
    if (tensor_exists(dcontent_bias) && part == 0)
        add_rows(dcontent_bias.data + bias, 0, call, sums->dcontent_bias, 1, 0, 1);
    for (int i = 0; i < call->num_sources; i++) {
        const AttentionSource *source = &call->sources[i];
        if (attention_slots(source) == 0 || !tensor_exists(source->r)) continue;
        if (tensor_exists(source->dposition_bias) && part == 0)
            add_rows(source->dposition_bias.data + bias, 0, call, sums->dposition_bias[i], 1, 0, 1);
        if (tensor_exists(source->dr))
            add_position_rows(call, &scratch->positions[i], i, head, sums->dr[i], part, parts);
    }
}

static void zero_head_sums(const AttentionCall *call, const AttentionScratch *scratch,
                           const AttentionSums *sums)
{
    zero(sums->dcontent_bias, 1, call->padded_size);
    for (int i = 0; i < call->num_sources; i++) {
        if (attention_slots(&call->sources[i]) == 0 || !tensor_exists(call->sources[i].r)) continue;
        zero(sums->dposition_bias[i], 1, call->padded_size);
        zero(sums->dr[i], call->sources[i].row_stride, scratch->positions[i].rows_set);
    }
}

/* --- a thread's share ----------------------------------------------------------------------- */

/* Packs do, and delta = rowsum(do * o), the sum over j of p_ij dp_ij. */
static void begin_rows(AttentionScratch *scratch, const AttentionCall *call,
                       const AttentionWork *work, const Real *o, const Real *dout)
{
    ptrdiff_t size = call->padded_size, first = work->first;
    int count = work->last - work->first;
    zero(scratch->dquery_content + first * size, count, size);
    zero(scratch->dquery_positions + first * size, count, size);
    attention_pack_rows(scratch->dout + first * size, call, dout + first * call->width, NULL, 1,
                        count);
    for (int i = work->first; i < work->last; i++) {
        const Real *x = o + i * call->width, *dx = scratch->dout + i * size;
        if (i + PREFETCH_ROWS < work->last)
            prefetch_row(x + PREFETCH_ROWS * call->width, call->head_size);
        Real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int e = 0; e < call->head_size; e++) sum += x[e] * dx[e];
        scratch->delta[i] = sum;
    }
}

static void backward_work(AttentionScratch *scratch, const AttentionCall *call,
                          const AttentionWork *work, const AttentionSums *row_sums,
                          const AttentionSums *head_sums, Tensor o, Tensor lse, Tensor dout)
{
    ptrdiff_t offset = (ptrdiff_t)work->row * call->length * call->width +
                       (ptrdiff_t)work->head * call->head_size;
    const Real *row_lse =
        lse.data + ((ptrdiff_t)work->row * call->heads + work->head) * call->length;
    begin_rows(scratch, call, work, o.data + offset, dout.data + offset);
    attention_pack_queries(scratch, call, work);

    AttentionSums sums = *head_sums;
    for (int i = 0; i < call->num_sources; i++) {
        sums.dk[i] = row_sums->dk[i];
        sums.dv[i] = row_sums->dv[i];
        zero(sums.dk[i], attention_slots(&call->sources[i]), call->padded_size);
        zero(sums.dv[i], attention_slots(&call->sources[i]), call->padded_size);
        attention_pack_source(scratch, call, i, work->row, work->head, work->last, PASS_BACKWARD);
        if (scratch->packed.count == 0) continue;
        backward_source(scratch, call, i, work, row_lse, &sums);
        if (work->begins_row) add_row_sums(call, i, work->row, work->head, &sums, 0, 1);
    }
    add_query_gradients(scratch, call, work, &sums);
}

static void backward_share(AttentionScratch *scratch, const AttentionCall *call,
                           AttentionShare share, Tensor o, Tensor lse, Tensor dout)
{
    /* Zeros beside the rows of dscores, where diagonals begin. */
    Real *margins = scratch->dscores - SCORE_MARGIN;
    zero(margins, QUERY_BLOCK + 1, scratch->score_row);

    AttentionWork work;
    const AttentionSums *head_sums = NULL;
    int head = -1;
    bool more = attention_next(call, &share, &work);
    while (more) {
        if (work.head != head) {
            head = work.head;
            head_sums = work.begins_head ? &scratch->own : &scratch->carried;
            attention_pack_positions(scratch, call, head, PASS_BACKWARD);
            zero_head_sums(call, scratch, head_sums);
        }
        backward_work(scratch, call, &work, work.begins_row ? &scratch->own : &scratch->carried,
                      head_sums, o, lse, dout);
        more = attention_next(call, &share, &work);
        if ((!more || work.head != head) && head_sums == &scratch->own)
            add_head_sums(call, scratch, head, head_sums, 0, 1);
    }
}

/* Thread by thread what was carried; each of the threads adds its part of the rows. */
static void add_carried(const AttentionCall *call, Real *workspace, size_t numbers, int part,
                        int parts)
{
    for (int thread = 1; thread < parts; thread++) {
        AttentionScratch scratch;
        AttentionWork work;
        AttentionShare share = attention_share(call, thread, parts);
        attention_scratch(&scratch, call, PASS_BACKWARD, workspace + (size_t)thread * numbers);
        if (!attention_next(call, &share, &work)) continue;
        if (!work.begins_row)
            for (int i = 0; i < call->num_sources; i++)
                add_row_sums(call, i, work.row, work.head, &scratch.carried, part, parts);
        if (!work.begins_head)
            add_head_sums(call, &scratch, work.head, &scratch.carried, part, parts);
    }
}

/* do v^T, and of the rest what is wanted; the logits are not counted again. */
static double backward_operations(const AttentionCall *call, int source_number)
{
    const AttentionSource *source = &call->sources[source_number];
    bool dqueries = wants_query_gradients(call, source), positions = tensor_exists(source->r);
    int products = 1 + tensor_exists(source->dv) + tensor_exists(source->dk) + dqueries +
                   (positions && dqueries) + (positions && tensor_exists(source->dr));
    return products * attention_operations(call, source_number);
}

void cpu_attention_backward(Device *device, const AttentionQueries *queries,
                            const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                            Tensor dout)
{
    AttentionCall call = attention_call(queries, sources, num_sources);
    AttentionScratch unused;
    size_t numbers = attention_scratch(&unused, &call, PASS_BACKWARD, NULL);
    Real *workspace = cpu_workspace(device, (size_t)device->threads * numbers * sizeof(Real));

#pragma omp parallel num_threads(device->threads)
    {
        AttentionScratch scratch;
        int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        attention_scratch(&scratch, &call, PASS_BACKWARD, workspace + (size_t)thread * numbers);
        backward_share(&scratch, &call, attention_share(&call, thread, threads), o, lse, dout);
#pragma omp barrier
        add_carried(&call, workspace, numbers, thread, threads);
    }
    for (int i = 0; i < num_sources; i++)
        device_count(device, backward_operations(&call, i));
}
