/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/attention_scores.h"
#include "src/tensor/cpu/context.h"

/* The largest of n > 0 logits; those behind n may be overwritten. */
static Real row_maximum(Real *row, int n)
{
    int padded = round_up(n, VECTOR_LANES);
    for (int j = n; j < padded; j++) row[j] = -(Real)INFINITY;
    Vector maximum = vector_load(row);
    for (int j = VECTOR_LANES; j < padded; j += VECTOR_LANES)
        maximum = vector_larger(maximum, vector_load(row + j));

    Real largest = maximum[0];
    for (int lane = 1; lane < VECTOR_LANES; lane++)
        largest = maximum[lane] > largest ? maximum[lane] : largest;
    return largest;
}

/* One step of the online softmax (Milakov & Gimelshein 2018): logits become weights relative to the
 * largest logit so far, and what was summed relative to an earlier one is scaled down to it. */
static void softmax_tile(AttentionScratch *scratch, const AttentionCall *call,
                         const AttentionTile *tile)
{
    for (int i = 0; i < tile->m; i++) {
        Real *row = scratch->scores + i * scratch->score_row;
        Real *maximum = &scratch->maximum[tile->query + i];
        int visible = attention_visible(tile, i);
        Real found = visible > 0 ? row_maximum(row, visible) : -(Real)INFINITY;
        if (found > *maximum) {
            Real shrink = vector_exp2(vector_all(*maximum - found))[0]; /* 0 from -infinity */
            Real *out = scratch->out + (ptrdiff_t)(tile->query + i) * call->padded_size;
            for (int e = 0; e < call->padded_size; e++) out[e] *= shrink;
            scratch->sum[tile->query + i] *= shrink;
            *maximum = found;
        }
        scratch->sum[tile->query + i] += attention_exp_row(row, tile, i, *maximum);
    }
}

static void drop_tile(AttentionScratch *scratch, const AttentionCall *call, int source,
                      const AttentionWork *work, const AttentionTile *tile)
{
    for (int i = 0; i < tile->m; i++) {
        Real *row = scratch->scores + i * scratch->score_row;
        attention_dropout_row(scratch, call, source, work->row, work->head, tile, i);
        for (int j = 0; j < attention_visible(tile, i); j++) row[j] *= scratch->keep[j];
    }
}

/* out += p v */
static void add_values(AttentionScratch *scratch, const AttentionCall *call,
                       const AttentionTile *tile)
{
    ptrdiff_t size = call->padded_size;
    int step = attention_step(tile);
    for (int i = 0; i < tile->m; i += step) {
        int m = smaller(step, tile->m - i);
        tile_product((TileProduct){.c = scratch->out + (tile->query + i) * size,
                                   .c_row = size,
                                   .a = scratch->scores + i * scratch->score_row,
                                   .a_row = scratch->score_row,
                                   .a_column = 1,
                                   .b = scratch->packed.values + tile->slot * size,
                                   .b_row = size,
                                   .m = m,
                                   .n = call->head_size,
                                   .k = attention_visible(tile, i + m - 1),
                                   .accumulate = true});
    }
}

static void attend_to_source(AttentionScratch *scratch, const AttentionCall *call, int source,
                             const AttentionWork *work)
{
    attention_pack_source(scratch, call, source, work->row, work->head, work->last, PASS_FORWARD);
    if (scratch->packed.count == 0) return;
    attention_pack_position_queries(scratch, call, work);
    for (int query = work->first; query < work->last; query += QUERY_BLOCK) {
        int m = smaller(QUERY_BLOCK, work->last - query);
        for (int slot = 0;; slot += KEY_TILE) {
            AttentionTile tile = attention_tile(&scratch->packed, query, m, slot);
            if (tile.n == 0) break;
            attention_scores(scratch, call, &tile);
            softmax_tile(scratch, call, &tile);
            if (call->queries->dropout_rate > 0) drop_tile(scratch, call, source, work, &tile);
            add_values(scratch, call, &tile);
        }
    }
}

static void begin_rows(AttentionScratch *scratch, const AttentionCall *call,
                       const AttentionWork *work)
{
    ptrdiff_t size = call->padded_size;
    size_t numbers = (size_t)((work->last - work->first) * size);
    memset(scratch->out + work->first * size, 0, numbers * sizeof(Real));
    for (int i = work->first; i < work->last; i++) {
        scratch->maximum[i] = -(Real)INFINITY;
        scratch->sum[i] = 0;
    }
}

static void finish_rows(const AttentionScratch *scratch, const AttentionCall *call,
                        const AttentionWork *work, Tensor o, Tensor lse)
{
    for (int i = work->first; i < work->last; i++) {
        Real sum = scratch->sum[i];
        if (sum == 0) continue; /* sees nothing: o and lse stay 0 */
        ptrdiff_t row = (ptrdiff_t)work->row * call->length + i;
        Real *to = tensor_reals(o) + row * call->width + (ptrdiff_t)work->head * call->head_size;
        const Real *out = scratch->out + (ptrdiff_t)i * call->padded_size;
        for (int e = 0; e < call->head_size; e++) to[e] = out[e] / sum;

        ptrdiff_t pair = (ptrdiff_t)work->row * call->heads + work->head;
        tensor_reals(lse)[pair * call->length + i] =
            (Real)((double)scratch->maximum[i] * PAL_LN_2 + log((double)sum));
    }
}

static void forward_share(const AttentionCall *call, AttentionScratch *scratch,
                          AttentionShare share, Tensor o, Tensor lse)
{
    AttentionWork work;
    int packed_head = -1;
    while (attention_next(call, &share, &work)) {
        if (work.last == work.first) continue;
        if (work.head != packed_head)
            attention_pack_positions(scratch, call, work.head, PASS_FORWARD);
        packed_head = work.head;
        attention_pack_queries(scratch, call, &work);
        begin_rows(scratch, call, &work);
        for (int source = 0; source < call->num_sources; source++)
            attend_to_source(scratch, call, source, &work);
        finish_rows(scratch, call, &work, o, lse);
    }
}

void cpu_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                           const AttentionSource *sources, int num_sources)
{
    AttentionCall call = attention_call(queries, sources, num_sources);
    AttentionScratch unused;
    size_t numbers = attention_scratch(&unused, &call, PASS_FORWARD, NULL);
    Real *workspace =
        cpu_scratch(device, CPU_WORKSPACE, (size_t)device->threads * numbers * sizeof(Real));

    memset(tensor_reals(o), 0, (size_t)tensor_count(o) * sizeof(Real));
    memset(tensor_reals(lse), 0, (size_t)tensor_count(lse) * sizeof(Real));
#pragma omp parallel num_threads(device->threads)
    {
        AttentionScratch scratch;
        int thread = omp_get_thread_num();
        attention_scratch(&scratch, &call, PASS_FORWARD, workspace + (size_t)thread * numbers);
        forward_share(&call, &scratch, attention_share(&call, thread, omp_get_num_threads()), o,
                      lse);
    }
    for (int i = 0; i < num_sources; i++)
        device_count(device, attention_forward_operations(queries, &sources[i]));
}
