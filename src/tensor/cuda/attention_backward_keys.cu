/* SPDX-License-Identifier: Apache-2.0
 *
 * Backward for a tile of slots of one source: it walks over the queries that see them,
 *
 *     dv = p^T do,   dk = scale ds^T Qc
 *
 * A warp has 16 queries while weights are made, and 16 slots while they are summed; between the two
 * they lie where the positions were.
 */
#include "src/tensor/cuda/attention_gradients.cuh"

/* A warp holds 16 rows of dk and of dv besides those of two (TILE, TILE) matrices: for large
 * heads registers have room for half a tile of them. */
template <typename Element, int SIZE>
using KeysShape = Shape<Element, SIZE, (SIZE > 64) ? 32 : ROWS_OF_TILE<Element, SIZE>>;

/* Room for the positions, and then for two (TILE, TILE) matrices. */
template <typename Element, typename S>
constexpr size_t exchange_bytes =
    sizeof(Element) * S::SPAN *static_cast<size_t>(S::ROW > S::WEIGHT_ROW ? S::ROW : S::WEIGHT_ROW);

template <typename Element, typename S>
constexpr size_t keys_shared_bytes =
    5 * S::TILE_BYTES + exchange_bytes<Element, S> + S::WARPS *S::OWN_BYTES;

template <typename Element, int SIZE>
static __global__ void __launch_bounds__(KeysShape<Element, SIZE>::THREADS, 1)
    backward_keys(const AttentionCall call, int source_number, const SavedForward saved)
{
    using S = KeysShape<Element, SIZE>;
    const SourceCall &source = call.sources[source_number];
    Element *shared = shared_memory<Element>();
    constexpr int TILE_NUMBERS = S::TILE * S::ROW;
    Element *exchange = shared + 5 * TILE_NUMBERS;
    TileBuffers<Element> buffers = {
        shared, shared + TILE_NUMBERS, shared + 2 * TILE_NUMBERS, exchange,
        shared_memory<float>(5 * S::TILE_BYTES + exchange_bytes<Element, S> +
                             warp_number() * S::OWN_BYTES)};
    Element *values = shared + 3 * TILE_NUMBERS, *dout = shared + 4 * TILE_NUMBERS;
    Element *weights_exchange = exchange, *gradients_exchange = exchange + S::TILE * S::WEIGHT_ROW;

    int head = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.z);
    int warp_row = warp_number() * FRAGMENT_ROWS, used = slots_per_tile<S>(source);
    SlotTile tile = {static_cast<int>(blockIdx.x) * used, used, source.slots};
    Visibility visible = visibility(call, source, row);
    int begin = source.causal ? max(visible.first_query, tile.first) : visible.first_query;
    if (tile.first + used <= visible.first_slot || begin >= visible.last_query) return;

    WeightDropout dropout(call, row, head);
    Fragment<SIZE> dk, dv;
    dk.clear();
    dv.clear();
    GlobalRows<Element> dout_rows = {rows_of<Element>(saved.dout, call.window(row, head)),
                                     call.width, 0, call.length};
    load_values<Element, S>(values, call, source, tile, row, head);
    GlobalRows<Element> key_rows = {rows_of<Element>(source.k, call.slots_of(source, row, head)),
                                    call.width, 0, tile.end};
    load_rows<S::TILE, S>(buffers.keys, key_rows, tile.first, 1, call.head_size);
    for (int first = begin / S::TILE * S::TILE; first < visible.last_query; first += S::TILE) {
        __syncthreads(); /* nobody reads the last queries any more */
        load_rows<S::TILE, S>(dout, dout_rows, first, 1, call.head_size);
        ptx::copy_async_commit();
        load_positions<Element, S>(buffers, call, source, tile, head, first);
        ptx::copy_async_commit();
        load_both_queries<Element, S>(buffers, call, source, row, head, first);
        ptx::copy_async_wait<1>();
        __syncthreads(); /* all but the positions is there */
        Fragment<S::TILE> weights, gradients;
        value_gradients<Element, SIZE, S>(gradients, values, dout);
        ptx::copy_async_wait<0>();
        __syncthreads();
        tile_gradients<Element, SIZE, S>(weights, gradients, buffers, call, source, tile, first,
                                         row, saved, call.line(row, head), dropout);
        __syncthreads(); /* nobody reads positions any more */
        store_fragment(weights_exchange + warp_row * S::WEIGHT_ROW, S::WEIGHT_ROW, weights);
        store_fragment(gradients_exchange + warp_row * S::WEIGHT_ROW, S::WEIGHT_ROW, gradients);
        __syncthreads();
        if (source.dv != nullptr)
            product_tn<SIZE, S::TILE>(dv, weights_exchange + warp_row, S::WEIGHT_ROW, dout, S::ROW);
        if (source.dk != nullptr)
            product_tn<SIZE, S::TILE>(dk, gradients_exchange + warp_row, S::WEIGHT_ROW,
                                      buffers.content_queries, S::ROW);
    }

    int64_t to = call.slots_of(source, row, head);
    auto slot = [&](int i) {
        int j = tile.first + warp_row + i;
        return warp_row + i < used && j < source.slots && j >= visible.first_slot ? j : -1;
    };
    if (source.dv != nullptr)
        add_rows<SIZE>(static_cast<Element *>(source.dv) + to, call.width, call.head_size, dv, 1.0f,
                       slot);
    if (source.dk != nullptr)
        add_rows<SIZE>(static_cast<Element *>(source.dk) + to, call.width, call.head_size, dk,
                       call.scale, slot);
}

template <typename Element, int SIZE>
static void launch_keys(Device *device, const AttentionCall &call, int source, SavedForward saved)
{
    using S = KeysShape<Element, SIZE>;
    int stride = call.sources[source].row_stride,
        used = S::TILE / stride > 1 ? S::TILE / stride : 1;
    dim3 blocks(blocks_for(call.sources[source].slots, used), static_cast<unsigned>(call.heads),
                static_cast<unsigned>(call.rows));
    launch(device, backward_keys<Element, SIZE>, blocks, S::THREADS, keys_shared_bytes<Element, S>,
           call, source, saved);
}

void attention_backward_keys(Device *device, const AttentionCall &call, int source,
                             SavedForward saved)
{
    PAL_FOR_CALL(call, launch_keys, device, call, source, saved);
}
