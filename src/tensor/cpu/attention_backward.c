/* SPDX-License-Identifier: Apache-2.0
 *
 * Backward of attention: the walk over a thread's share. dq belongs to the thread that has the
 * query; for the gradients that several threads have parts of see attention_sums.h.
 */
#include <omp.h>
#include <string.h>

#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/attention_gradients.h"
#include "src/tensor/cpu/attention_sums.h"
#include "src/tensor/cpu/context.h"

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
        Real *to = tensor_reals(dq) + ((ptrdiff_t)work->row * call->length + i) * call->width +
                   (ptrdiff_t)work->head * call->head_size;
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
            attention_tile_gradients(scratch, call, source, work, &tile, lse, sums);
        }
    }
    if (scratch->packed.positions != NULL) add_position_terms(scratch, call, source, work, sums);
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
    ptrdiff_t offset =
        (ptrdiff_t)work->row * call->length * call->width + (ptrdiff_t)work->head * call->head_size;
    const Real *row_lse =
        tensor_reals(lse) + ((ptrdiff_t)work->row * call->heads + work->head) * call->length;
    begin_rows(scratch, call, work, tensor_reals(o) + offset, tensor_reals(dout) + offset);
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
        if (work->begins_row) attention_add_row_sums(call, i, work->row, work->head, &sums, 0, 1);
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
    int head = 0;
    bool more = attention_next(call, &share, &work);
    while (more) {
        if (head_sums == NULL || work.head != head) {
            head = work.head;
            head_sums = work.begins_head ? &scratch->own : &scratch->carried;
            attention_pack_positions(scratch, call, head, PASS_BACKWARD);
            attention_zero_head_sums(call, scratch, head_sums);
        }
        backward_work(scratch, call, &work, work.begins_row ? &scratch->own : &scratch->carried,
                      head_sums, o, lse, dout);
        more = attention_next(call, &share, &work);
        if ((!more || work.head != head) && head_sums == &scratch->own)
            attention_add_head_sums(call, scratch, head, head_sums, 0, 1);
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
                attention_add_row_sums(call, i, work.row, work.head, &scratch.carried, part, parts);
        if (!work.begins_head)
            attention_add_head_sums(call, &scratch, work.head, &scratch.carried, part, parts);
    }
}

void cpu_attention_backward(Device *device, const AttentionQueries *queries,
                            const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                            Tensor dout)
{
    AttentionCall call = attention_call(queries, sources, num_sources);
    AttentionScratch unused;
    size_t numbers = attention_scratch(&unused, &call, PASS_BACKWARD, NULL);
    Real *workspace =
        cpu_scratch(device, CPU_WORKSPACE, (size_t)device->threads * numbers * sizeof(Real));

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
        device_count(device, attention_backward_operations(queries, &sources[i]));
}
