/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/attention_pack.h"

#include <string.h>

/* --- buffers -------------------------------------------------------------------------------- */

typedef struct Cursor {
    Real *base; /* NULL: only count */
    size_t used;
} Cursor;

static Real *take(Cursor *cursor, int64_t rows, int64_t columns)
{
    int64_t line = 64 / (int64_t)sizeof(Real);
    Real *taken = cursor->base == NULL ? NULL : cursor->base + cursor->used;
    cursor->used += (size_t)((rows * columns + line - 1) / line * line);
    return taken;
}

/* Columns x that visible pairs use, with room for what a product reads beside them. */
static void lay_out_positions(Cursor *cursor, PackedPositions *positions, const AttentionCall *call,
                              const AttentionSource *source, AttentionPass pass)
{
    int stride = source->row_stride, last = (call->length - 1) / stride;
    /* Slot j > i of the window is hidden, so with stride 1 its columns end at j - t = 0. */
    int ahead = source->causal && stride == 1 ? 1 : attention_slots(source);
    positions->origin = SCORE_MARGIN + last;
    positions->columns = positions->origin + ahead + SCORE_MARGIN + VECTOR_LANES;
    positions->transposed_row = tile_width(positions->columns);
    positions->transposed_set = positions->transposed_row * call->head_size;
    positions->rows_set = (ptrdiff_t)positions->columns * call->padded_size;

    positions->transposed = take(cursor, stride, positions->transposed_set);
    if (pass != PASS_BACKWARD) return;
    positions->rows = take(cursor, stride, positions->rows_set);
    positions->gradient = take(cursor, stride, positions->rows_set);
}

/* By its shape, as attention_slots: scratch is known of a run that there is no memory for. */
static bool has_positions(const AttentionSource *source) { return source->r.num_dims > 0; }

static void lay_out_sums(Cursor *cursor, AttentionScratch *scratch, const AttentionCall *call,
                         int most_slots)
{
    AttentionSums *own = &scratch->own, *carried = &scratch->carried;
    int size = call->padded_size;
    Real *dk = take(cursor, most_slots, size), *dv = take(cursor, most_slots, size);
    own->dcontent_bias = take(cursor, 1, size);
    carried->dcontent_bias = take(cursor, 1, size);
    for (int i = 0; i < call->num_sources; i++) {
        int slots = attention_slots(&call->sources[i]);
        own->dk[i] = dk; /* one source at a time */
        own->dv[i] = dv;
        carried->dk[i] = take(cursor, slots, size);
        carried->dv[i] = take(cursor, slots, size);
        if (!has_positions(&call->sources[i])) continue;
        own->dr[i] = scratch->positions[i].gradient;
        carried->dr[i] = take(cursor, call->sources[i].row_stride, scratch->positions[i].rows_set);
        own->dposition_bias[i] = take(cursor, 1, size);
        carried->dposition_bias[i] = take(cursor, 1, size);
    }
}

size_t attention_scratch(AttentionScratch *scratch, const AttentionCall *call, AttentionPass pass,
                         Real *base)
{
    Cursor cursor = {0};
    cursor.base = base;
    *scratch = (AttentionScratch){0};
    int size = call->padded_size, most_slots = 0;
    for (int i = 0; i < call->num_sources; i++) {
        most_slots = larger(most_slots, attention_slots(&call->sources[i]));
        if (has_positions(&call->sources[i]))
            lay_out_positions(&cursor, &scratch->positions[i], call, &call->sources[i], pass);
    }
    scratch->packed.transposed_row = tile_width(most_slots);
    scratch->packed.keys_transposed = take(&cursor, call->head_size, tile_width(most_slots));
    scratch->query_content = take(&cursor, call->length, size);
    scratch->query_position = take(&cursor, call->length, size);
    scratch->score_row = tile_width(KEY_TILE + 2 * SCORE_MARGIN + VECTOR_LANES);
    scratch->scores = take(&cursor, QUERY_BLOCK + 1, scratch->score_row);
    scratch->keep = take(&cursor, 1, KEY_TILE + VECTOR_LANES);
    if (base != NULL) scratch->scores += SCORE_MARGIN;

    if (pass == PASS_FORWARD) {
        scratch->packed.values = take(&cursor, most_slots, size);
        scratch->out = take(&cursor, call->length, size);
        scratch->maximum = take(&cursor, 1, call->length);
        scratch->sum = take(&cursor, 1, call->length);
    }
    if (pass == PASS_BACKWARD) {
        scratch->packed.values_transposed = take(&cursor, call->head_size, tile_width(most_slots));
        scratch->packed.keys = take(&cursor, most_slots, size);
        scratch->dout = take(&cursor, call->length, size);
        scratch->delta = take(&cursor, 1, call->length);
        scratch->dquery_content = take(&cursor, call->length, size);
        scratch->dquery_position = take(&cursor, call->length, size);
        scratch->dquery_positions = take(&cursor, call->length, size);
        scratch->dscores = take(&cursor, QUERY_BLOCK + 1, scratch->score_row);
        if (base != NULL) scratch->dscores += SCORE_MARGIN;
        lay_out_sums(&cursor, scratch, call, most_slots);
    }
    return cursor.used;
}

/* --- packing -------------------------------------------------------------------------------- */

void attention_pack_rows(Real *y, const AttentionCall *call, const Real *x, const Real *bias,
                         Real factor, int m)
{
    for (int i = 0; i < m; i++) {
        const Real *from = x + i * call->width;
        Real *to = y + (ptrdiff_t)i * call->padded_size;
        for (int e = 0; e < call->head_size; e++)
            to[e] = factor * (from[e] + (bias == NULL ? 0 : bias[e]));
        for (int e = call->head_size; e < call->padded_size; e++) to[e] = 0;
    }
}

/* Copies without arithmetic. A negative step between rows reverses their order. */
static void copy_rows(Real *y, const AttentionCall *call, const Real *x, ptrdiff_t x_row, int m)
{
    size_t bytes = (size_t)call->head_size * sizeof(Real);
    size_t rest = (size_t)call->padded_size * sizeof(Real) - bytes;
    for (int i = 0; i < m; i++) {
        Real *to = y + (ptrdiff_t)i * call->padded_size;
        memcpy(to, x + i * x_row, bytes);
        memset(to + call->head_size, 0, rest);
    }
}

static void zero_columns(Real *x, ptrdiff_t x_row, int rows, int begin, int end)
{
    for (int i = 0; i < rows; i++)
        for (int j = begin; j < end; j++) x[i * x_row + j] = 0;
}

static void pack_residue(PackedPositions *packed, const AttentionCall *call,
                         const AttentionSource *source, int head, int residue, AttentionPass pass)
{
    int64_t table_rows = source->r.dims[0], stride = source->row_stride;
    int64_t first_row = source->row_offset + residue + stride * packed->origin; /* of column 0 */
    int begin = 0, end;
    while (begin < packed->columns && first_row - stride * begin >= table_rows) begin++;
    for (end = begin; end < packed->columns && first_row - stride * end >= 0;) end++;

    const Real *from = tensor_reals(source->r) + (first_row - stride * begin) * call->width +
                       (ptrdiff_t)head * call->head_size;
    ptrdiff_t from_row = -(ptrdiff_t)stride * call->width;
    Real *transposed = packed->transposed + residue * packed->transposed_set;
    zero_columns(transposed, packed->transposed_row, call->head_size, 0, begin);
    zero_columns(transposed, packed->transposed_row, call->head_size, end, packed->columns);
    if (end > begin)
        tile_transpose(transposed + begin, packed->transposed_row, from, from_row, end - begin,
                       call->head_size);
    if (pass != PASS_BACKWARD) return;

    Real *rows = packed->rows + residue * packed->rows_set;
    ptrdiff_t size = call->padded_size;
    memset(rows, 0, (size_t)(begin * size) * sizeof(Real));
    if (end > begin) copy_rows(rows + begin * size, call, from, from_row, end - begin);
    memset(rows + end * size, 0, (size_t)((packed->columns - end) * size) * sizeof(Real));
}

void attention_pack_positions(AttentionScratch *scratch, const AttentionCall *call, int head,
                              AttentionPass pass)
{
    for (int i = 0; i < call->num_sources; i++) {
        const AttentionSource *source = &call->sources[i];
        if (!tensor_exists(source->r) || attention_slots(source) == 0) continue;
        for (int residue = 0; residue < source->row_stride; residue++)
            pack_residue(&scratch->positions[i], call, source, head, residue, pass);
    }
}

void attention_pack_source(AttentionScratch *scratch, const AttentionCall *call, int source_number,
                           int row, int head, int last_query, AttentionPass pass)
{
    const AttentionSource *source = &call->sources[source_number];
    PackedSource *packed = &scratch->packed;
    int slots = attention_slots(source);
    packed->source = source;
    packed->positions = tensor_exists(source->r) ? &scratch->positions[source_number] : NULL;
    packed->first = attention_first_slot(source, row);
    packed->count = (source->causal ? smaller(slots, last_query) : slots) - packed->first;
    if (packed->count <= 0) {
        packed->count = 0;
        return;
    }

    ptrdiff_t from =
        ((ptrdiff_t)row * slots + packed->first) * call->width + (ptrdiff_t)head * call->head_size;
    int padded = round_up(packed->count, VECTOR_LANES);
    tile_transpose(packed->keys_transposed, packed->transposed_row, tensor_reals(source->k) + from,
                   call->width, packed->count, call->head_size);
    zero_columns(packed->keys_transposed, packed->transposed_row, call->head_size, packed->count,
                 padded);
    if (pass == PASS_FORWARD)
        copy_rows(packed->values, call, tensor_reals(source->v) + from, call->width, packed->count);
    if (pass == PASS_BACKWARD) {
        copy_rows(packed->keys, call, tensor_reals(source->k) + from, call->width, packed->count);
        tile_transpose(packed->values_transposed, packed->transposed_row,
                       tensor_reals(source->v) + from, call->width, packed->count, call->head_size);
        zero_columns(packed->values_transposed, packed->transposed_row, call->head_size,
                     packed->count, padded);
    }
}

/* q of some work with a bias */
static void pack_queries(Real *y, const AttentionCall *call, const AttentionWork *work,
                         const Real *bias)
{
    const Real *q = tensor_reals(call->queries->q) +
                    ((ptrdiff_t)work->row * call->length + work->first) * call->width +
                    (ptrdiff_t)work->head * call->head_size;
    attention_pack_rows(y + (ptrdiff_t)work->first * call->padded_size, call, q, bias,
                        (Real)call->queries->scale * PAL_LOG2_E, work->last - work->first);
}

void attention_pack_queries(AttentionScratch *scratch, const AttentionCall *call,
                            const AttentionWork *work)
{
    Tensor bias = call->queries->content_bias;
    ptrdiff_t head = (ptrdiff_t)work->head * call->head_size;
    pack_queries(scratch->query_content, call, work,
                 tensor_exists(bias) ? tensor_reals(bias) + head : NULL);
    scratch->position_bias = NULL;
}

void attention_pack_position_queries(AttentionScratch *scratch, const AttentionCall *call,
                                     const AttentionWork *work)
{
    if (scratch->packed.positions == NULL) return;
    const Real *bias = tensor_reals(scratch->packed.source->position_bias) +
                       (ptrdiff_t)work->head * call->head_size;
    if (bias == scratch->position_bias) return; /* sources share it */
    pack_queries(scratch->query_position, call, work, bias);
    scratch->position_bias = bias;
}
