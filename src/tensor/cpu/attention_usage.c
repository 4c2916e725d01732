/* SPDX-License-Identifier: Apache-2.0
 *
 * The mean attention weight on each slot of one source. Weights are computed again from lse, tile
 * by tile; a thread has one row and one tile of slots at a time, for all heads and queries, so
 * nothing is shared and the order of the sum does not depend on the threads.
 */
#include <omp.h>
#include <string.h>

#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/attention_scores.h"
#include "src/tensor/cpu/context.h"

/* usage (n) += column sums of the tile's weights */
static void add_tile(AttentionScratch *scratch, const AttentionTile *tile, const Real *lse,
                     Real *usage)
{
    for (int i = 0; i < tile->m; i++) {
        Real *row = scratch->scores + i * scratch->score_row;
        attention_exp_row(row, tile, i, lse[tile->query + i] * PAL_LOG2_E);
        for (int j = 0; j < tile->n; j++) usage[j] += row[j];
    }
}

static void add_head(AttentionScratch *scratch, const AttentionCall *call, int row, int head,
                     int slot, const Real *lse, Real *usage)
{
    AttentionWork work = {.head = head,
                          .row = row,
                          .first = attention_first_query(call->queries),
                          .last = attention_last_query(call->queries, row)};
    attention_pack_positions(scratch, call, head, PASS_USAGE);
    attention_pack_source(scratch, call, 0, row, head, work.last, PASS_USAGE);
    attention_pack_queries(scratch, call, &work);
    attention_pack_position_queries(scratch, call, &work);
    for (int query = work.first; query < work.last; query += QUERY_BLOCK) {
        int m = smaller(QUERY_BLOCK, work.last - query);
        AttentionTile tile = attention_tile(&scratch->packed, query, m, slot);
        if (tile.n == 0) continue;
        attention_scores(scratch, call, &tile);
        add_tile(scratch, &tile, lse + (ptrdiff_t)head * call->length,
                 usage + scratch->packed.first + slot);
    }
}

/* Tile number `tile` of the visible slots of one row. */
static void tile_usage(AttentionScratch *scratch, const AttentionCall *call, int row, int tile,
                       Tensor usage, Tensor lse)
{
    int slots = attention_slots(call->sources), first = attention_first_slot(call->sources, row);
    int queries = attention_last_query(call->queries, row) - attention_first_query(call->queries);
    int slot = tile * KEY_TILE, n = smaller(KEY_TILE, slots - first - slot);
    if (n <= 0 || queries <= 0) return;

    Real *row_usage = tensor_reals(usage) + (ptrdiff_t)row * slots;
    const Real *row_lse = tensor_reals(lse) + (ptrdiff_t)row * call->heads * call->length;
    for (int head = 0; head < call->heads; head++)
        add_head(scratch, call, row, head, slot, row_lse, row_usage);
    Real share = (Real)(1.0 / ((double)call->heads * queries));
    for (int j = 0; j < n; j++) row_usage[first + slot + j] *= share;
}

void cpu_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                         const AttentionSource *source, Tensor lse)
{
    AttentionCall call = attention_call(queries, source, 1);
    AttentionScratch unused;
    size_t numbers = attention_scratch(&unused, &call, PASS_USAGE, NULL);
    Real *workspace =
        cpu_scratch(device, CPU_WORKSPACE, (size_t)device->threads * numbers * sizeof(Real));
    int tiles = (attention_slots(source) + KEY_TILE - 1) / KEY_TILE;

    memset(tensor_reals(usage), 0, (size_t)tensor_count(usage) * sizeof(Real));
#pragma omp parallel num_threads(device->threads)
    {
        AttentionScratch scratch;
        attention_scratch(&scratch, &call, PASS_USAGE,
                          workspace + (size_t)omp_get_thread_num() * numbers);
#pragma omp for schedule(static)
        for (int item = 0; item < call.rows * tiles; item++)
            tile_usage(&scratch, &call, item / tiles, item % tiles, usage, lse);
    }
    device_count(device, attention_usage_operations(queries, source));
}

Status cpu_reserve_attention(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources)
{
    AttentionCall call = attention_call(queries, sources, num_sources);
    size_t most = 0;
    for (int pass = PASS_FORWARD; pass <= PASS_USAGE; pass++) {
        AttentionScratch unused;
        size_t numbers = attention_scratch(&unused, &call, (AttentionPass)pass, NULL);
        most = numbers > most ? numbers : most;
    }
    return cpu_scratch_reserve(device, CPU_WORKSPACE,
                               most * (size_t)device->threads * sizeof(Real));
}
