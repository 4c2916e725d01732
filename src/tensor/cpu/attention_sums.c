/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/attention_sums.h"

#include <string.h>

/* to (rows, E), a head's slice of a (rows, D) tensor, += factor * sums (rows, Ep) */
static void add_rows(Real *to, ptrdiff_t to_row, const AttentionCall *call, const Real *sums,
                     Real factor, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        for (int e = 0; e < call->head_size; e++)
            to[i * to_row + e] += factor * sums[i * call->padded_size + e];
    }
}

void attention_add_row_sums(const AttentionCall *call, int source_number, int row, int head,
                            const AttentionSums *sums, int part, int parts)
{
    const AttentionSource *source = &call->sources[source_number];
    int64_t slots = attention_slots(source), first = attention_first_slot(source, row);
    int64_t begin = first + (slots - first) * part / parts;
    int64_t end = first + (slots - first) * (part + 1) / parts;
    ptrdiff_t to = (ptrdiff_t)row * slots * call->width + (ptrdiff_t)head * call->head_size;
    if (tensor_exists(source->dk)) /* ds^T times queries packed with log2(e) */
        add_rows(tensor_reals(source->dk) + to, call->width, call, sums->dk[source_number],
                 PAL_LN_2, begin, end);
    if (tensor_exists(source->dv))
        add_rows(tensor_reals(source->dv) + to, call->width, call, sums->dv[source_number], 1,
                 begin, end);
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
            Real *to =
                tensor_reals(source->dr) + row * call->width + (ptrdiff_t)head * call->head_size;
            add_rows(to, 0, call, sums + residue * positions->rows_set + x * call->padded_size,
                     PAL_LN_2, 0, 1);
        }
}

void attention_add_head_sums(const AttentionCall *call, const AttentionScratch *scratch, int head,
                             const AttentionSums *sums, int part, int parts)
{
    Tensor dcontent_bias = call->queries->dcontent_bias;
    ptrdiff_t bias = (ptrdiff_t)head * call->head_size;
    if (tensor_exists(dcontent_bias) && part == 0)
        add_rows(tensor_reals(dcontent_bias) + bias, 0, call, sums->dcontent_bias, 1, 0, 1);
    for (int i = 0; i < call->num_sources; i++) {
        const AttentionSource *source = &call->sources[i];
        if (attention_slots(source) == 0 || !tensor_exists(source->r)) continue;
        if (tensor_exists(source->dposition_bias) && part == 0)
            add_rows(tensor_reals(source->dposition_bias) + bias, 0, call, sums->dposition_bias[i],
                     1, 0, 1);
        if (tensor_exists(source->dr))
            add_position_rows(call, &scratch->positions[i], i, head, sums->dr[i], part, parts);
    }
}

static void zero(Real *x, int64_t rows, int64_t columns)
{
    memset(x, 0, (size_t)(rows * columns) * sizeof(Real));
}

void attention_zero_head_sums(const AttentionCall *call, const AttentionScratch *scratch,
                              const AttentionSums *sums)
{
    zero(sums->dcontent_bias, 1, call->padded_size);
    for (int i = 0; i < call->num_sources; i++) {
        if (attention_slots(&call->sources[i]) == 0 || !tensor_exists(call->sources[i].r)) continue;
        zero(sums->dposition_bias[i], 1, call->padded_size);
        zero(sums->dr[i], call->sources[i].row_stride, scratch->positions[i].rows_set);
    }
}
