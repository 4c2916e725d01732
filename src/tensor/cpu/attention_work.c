/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/attention_work.h"

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/cpu/attention_tiles.h"

/* `low` wins where it is larger than `high`. */
static int limited(int x, int low, int high)
{
    int lowered = x > high ? high : x;
    return lowered < low ? low : lowered;
}

AttentionCall attention_call(const AttentionQueries *queries, const AttentionSource *sources,
                             int num_sources)
{
    PAL_ASSERT(num_sources >= 0 && num_sources <= PAL_MAX_SOURCES && queries->heads > 0);
    AttentionCall call = {.queries = queries,
                          .sources = sources,
                          .num_sources = num_sources,
                          .rows = checked_int(queries->q.dims[0]),
                          .length = checked_int(queries->q.dims[1]),
                          .heads = queries->heads,
                          .width = queries->q.dims[2]};
    PAL_ASSERT(call.width % call.heads == 0);
    call.head_size = checked_int(call.width / call.heads);
    call.padded_size = round_up(call.head_size, VECTOR_LANES);
    int taking_part = call.length - attention_first_query(queries);
    call.blocks = (taking_part + QUERY_BLOCK - 1) / QUERY_BLOCK;

    int64_t slots = 0;
    for (int i = 0; i < num_sources; i++) {
        call.first_weight[i] = slots;
        slots += attention_slots(&sources[i]);
    }
    call.weights_per_query = (slots + 3) / 4 * 4;
    return call;
}

static void block_queries(const AttentionCall *call, int row, int block, int *first, int *last)
{
    *first = attention_first_query(call->queries) + block * QUERY_BLOCK;
    *last = limited(*first + QUERY_BLOCK, *first, attention_last_query(call->queries, row));
}

/* A block also costs something by itself, and so does each of its queries. */
static int64_t block_cost(const AttentionCall *call, int row, int block)
{
    int first, last;
    block_queries(call, row, block, &first, &last);
    int64_t cost = 1 + 8 * (int64_t)(last - first);
    for (int i = 0; i < call->num_sources; i++)
        cost += attention_pairs(&call->sources[i], row, first, last);
    return cost;
}

/* The number of items, from the beginning of the list, that come before `part` of `parts` equal
 * parts of the cost. All heads cost the same. */
static int64_t items_before(const AttentionCall *call, int part, int parts)
{
    int64_t head_cost = 0, head_items = (int64_t)call->rows * call->blocks;
    for (int row = 0; row < call->rows; row++)
        for (int block = 0; block < call->blocks; block++)
            head_cost += block_cost(call, row, block);
    if (head_cost == 0) return 0;

    int64_t wanted = head_cost * call->heads * part / parts;
    int64_t items = wanted / head_cost * head_items, rest = wanted % head_cost, passed = 0;
    for (int row = 0; row < call->rows; row++)
        for (int block = 0; block < call->blocks; block++) {
            int64_t cost = block_cost(call, row, block);
            if (passed + cost / 2 >= rest) return items;
            passed += cost;
            items++;
        }
    return items;
}

AttentionShare attention_share(const AttentionCall *call, int thread, int threads)
{
    return (AttentionShare){items_before(call, thread, threads),
                            items_before(call, thread + 1, threads)};
}

bool attention_next(const AttentionCall *call, AttentionShare *share, AttentionWork *work)
{
    if (share->begin >= share->end) return false;
    int64_t pair = share->begin / call->blocks;
    int first_block = (int)(share->begin % call->blocks);
    int64_t row_end = (pair + 1) * call->blocks;
    int64_t end = row_end < share->end ? row_end : share->end;
    int last_block = first_block + (int)(end - share->begin) - 1;

    work->head = (int)(pair / call->rows);
    work->row = (int)(pair % call->rows);
    work->begins_row = first_block == 0;
    work->begins_head = work->begins_row && work->row == 0;
    int first_query = attention_first_query(call->queries);
    work->first = first_query + first_block * QUERY_BLOCK;
    work->last = limited(first_query + (last_block + 1) * QUERY_BLOCK, work->first,
                         attention_last_query(call->queries, work->row));
    share->begin = end;
    return true;
}
