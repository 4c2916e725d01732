/* SPDX-License-Identifier: Apache-2.0
 *
 * Backward for a tile of rows of the table of positions: it walks over all rows of the batch and
 * all queries that read them,
 *
 *     dr[x] = scale * the sum over pairs (i, j) with row(i,j) = x of ds_ij Qp_i
 *
 * Here columns are positions: the position term is a plain product, and keys and values are skewed,
 * since the slot is j = (row_offset + i - x) / row_stride. With a row stride c the tile has every
 * c-th position and its queries are every c-th too; so j goes by steps of one with either.
 */
#include "src/tensor/cuda/attention_gradients.cuh"

template <typename S>
constexpr size_t positions_shared_bytes =
    4 * S::TILE_BYTES + 2 * S::SPAN_BYTES + S::WARPS *S::OWN_BYTES;

template <typename Element, int SIZE>
static __global__ void __launch_bounds__(Shape<Element, SIZE>::THREADS, 1)
    backward_positions(const AttentionCall call, int source_number, const SavedForward saved)
{
    using S = Shape<Element, SIZE>;
    const SourceCall &source = call.sources[source_number];
    Element *shared = shared_memory<Element>();
    constexpr int TILE_NUMBERS = S::TILE * S::ROW;
    Element *content_queries = shared, *position_queries = shared + TILE_NUMBERS;
    Element *dout = shared + 2 * TILE_NUMBERS, *positions = shared + 3 * TILE_NUMBERS;
    Element *keys = shared + 4 * TILE_NUMBERS, *values = shared + 6 * TILE_NUMBERS;
    Element *exchange = keys; /* once the logits are made */
    float *own =
        shared_memory<float>(4 * S::TILE_BYTES + 2 * S::SPAN_BYTES + warp_number() * S::OWN_BYTES);

    int stride = source.row_stride, head = static_cast<int>(blockIdx.y);
    int warp_row = warp_number() * FRAGMENT_ROWS;
    /* The position of column c is first_position + stride c. */
    int64_t first_position =
        blockIdx.x % static_cast<unsigned>(stride) +
        static_cast<int64_t>(blockIdx.x / static_cast<unsigned>(stride)) * S::TILE * stride;
    int residue =
        static_cast<int>(((first_position - source.row_offset) % stride + stride) % stride);

    Fragment<SIZE> dr;
    dr.clear();
    GlobalRows<Element> table = {rows_of<Element>(source.r, head * call.head_size), call.width, 0,
                                 source.table_rows};
    load_rows<S::TILE, S>(positions, table, first_position, stride, call.head_size);
    for (int row = 0; row < call.rows; row++) {
        Visibility visible = visibility(call, source, row);
        WeightDropout dropout(call, row, head);
        GlobalRows<Element> dout_rows = {rows_of<Element>(saved.dout, call.window(row, head)),
                                         call.width, 0, call.length};
        GlobalRows<Element> key_rows = {
            rows_of<Element>(source.k, call.slots_of(source, row, head)), call.width, 0,
            source.slots};
        GlobalRows<Element> value_rows = {
            rows_of<Element>(source.v, call.slots_of(source, row, head)), call.width, 0,
            source.slots};
        for (int first = residue; first < visible.last_query; first += stride * S::TILE) {
            /* Row i and column c are about slot middle + i - c. */
            int64_t middle = (source.row_offset + first - first_position) / stride;
            int64_t lowest = middle - (S::TILE - 1), highest = middle + S::TILE - 1;
            int last_query = first + stride * (S::TILE - 1);
            if (highest < visible.first_slot || lowest >= source.slots ||
                (source.causal && lowest > last_query) || last_query < visible.first_query)
                continue; /* the whole block */

            __syncthreads(); /* nobody reads the last queries any more */
            load_rows<S::TILE, S>(dout, dout_rows, first, stride, call.head_size);
            load_rows<S::SPAN, S>(values, value_rows, lowest, 1, call.head_size);
            ptx::copy_async_commit();
            load_rows<S::SPAN, S>(keys, key_rows, lowest, 1, call.head_size);
            ptx::copy_async_commit();
            load_queries<Element, S>(content_queries, call, row, head, call.content_bias, first,
                                     stride);
            load_queries<Element, S>(position_queries, call, row, head, source.position_bias, first,
                                     stride);
            ptx::copy_async_wait<1>();
            __syncthreads(); /* all but the keys is there */
            Fragment<S::TILE> weights, gradients;
            gradients.clear();
            add_skewed<Element, SIZE, S>(gradients, dout + warp_row * S::ROW,
                                         values + warp_row * S::ROW, own, 1, S::TILE);
            ptx::copy_async_wait<0>();
            __syncthreads();
            weights.clear();
            product_nt<S::TILE, SIZE>(weights, position_queries + warp_row * S::ROW, S::ROW,
                                      positions, S::ROW);
            add_skewed<Element, SIZE, S>(weights, content_queries + warp_row * S::ROW,
                                         keys + warp_row * S::ROW, own, 1, S::TILE);
            WarpQueries queries = {first + stride * warp_row, stride};
            weights_and_gradients(
                weights, gradients, call, source, queries, visible, saved, call.line(row, head),
                dropout, [&](int i, int c) { return static_cast<int>(middle) + warp_row + i - c; });
            __syncthreads(); /* nobody reads keys any more */
            store_fragment(exchange + warp_row * S::WEIGHT_ROW, S::WEIGHT_ROW, gradients);
            __syncthreads();
            product_tn<SIZE, S::TILE>(dr, exchange + warp_row, S::WEIGHT_ROW, position_queries,
                                      S::ROW);
        }
    }
    add_rows<SIZE>(source.dr + head * call.head_size, call.width, call.head_size, dr, call.scale,
                   [&](int i) {
                       int64_t x = first_position + static_cast<int64_t>(stride) * (warp_row + i);
                       return x < source.table_rows ? x : static_cast<int64_t>(-1);
                   });
    /* Where no query reads these positions they were loaded for nothing. */
    ptx::copy_async_commit();
    ptx::copy_async_wait<0>();
}

template <typename Element, int SIZE>
static void launch_positions(Device *device, const AttentionCall &call, int source,
                             SavedForward saved)
{
    using S = Shape<Element, SIZE>;
    int stride = call.sources[source].row_stride, table_rows = call.sources[source].table_rows;
    /* Every residue of positions has as many tiles as the first. */
    unsigned tiles = blocks_for((table_rows + stride - 1) / stride, S::TILE);
    dim3 blocks(tiles * static_cast<unsigned>(stride), static_cast<unsigned>(call.heads));
    launch(device, backward_positions<Element, SIZE>, blocks, S::THREADS, positions_shared_bytes<S>,
           call, source, saved);
}

void attention_backward_positions(Device *device, const AttentionCall &call, int source,
                                  SavedForward saved)
{
    PAL_FOR_CALL(call, launch_positions, device, call, source, saved);
}
