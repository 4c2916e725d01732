/* SPDX-License-Identifier: Apache-2.0
 *
 * Backward for a tile of queries: it walks over all slots like the forward pass,
 *
 *     dq = scale (ds K + unskew(ds) R)
 *
 * and the sums of the two terms over its queries are its part of the biases' gradients. While
 * do V^T is made of values, keys and positions are on their way, and then the next tile's values.
 */
#include "src/tensor/cuda/attention_gradients.cuh"

template <typename S>
constexpr size_t queries_shared_bytes = 5 * S::TILE_BYTES + S::SPAN_BYTES + S::WARPS *S::OWN_BYTES;

/* dq += scale x, and sums (head_size) = scale * the sum of x over the block's queries. */
template <typename Element, int SIZE, typename S>
static __device__ __forceinline__ void finish_term(const AttentionCall &call, int row, int head,
                                                   int first, const Fragment<SIZE> &x, float *sums)
{
    float *all_own = shared_memory<float>(5 * S::TILE_BYTES + S::SPAN_BYTES);
    constexpr int OWN = S::OWN_BYTES / sizeof(float);
    int warp_first = first + warp_number() * FRAGMENT_ROWS;
    if (call.dq != nullptr)
        add_rows<SIZE>(static_cast<Element *>(call.dq) + call.window(row, head), call.width,
                       call.head_size, x, call.scale,
                       [&](int i) { return warp_first + i < call.length ? warp_first + i : -1; });
    store_column_sums(all_own + warp_number() * OWN, x);
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < call.head_size; e += S::THREADS) {
        float sum = 0;
        for (int warp = 0; warp < S::WARPS; warp++) sum += all_own[warp * OWN + e];
        sums[e] = call.scale * sum;
    }
    __syncthreads();
}

/* The gradients of a warp's logits by position: row i, column i + stride (used - 1 - c) instead of
 * column c, zeros elsewhere. */
template <typename Element, typename S>
static __device__ __forceinline__ void store_skewed(Element *to, Fragment<S::TILE> &x, int stride,
                                                    int used)
{
    for (int at = lane_number(); at < FRAGMENT_ROWS * S::SKEWED; at += WARP)
        to[at / S::SKEWED * S::SKEWED_ROW + at % S::SKEWED] = to_number<Element>(0.0f);
    __syncwarp();
    each(x, [&](float gradient, int i, int c) {
        if (c < used)
            to[i * S::SKEWED_ROW + i + stride * (used - 1 - c)] = to_number<Element>(gradient);
    });
    __syncwarp();
}

template <typename Element, int SIZE>
static __global__ void __launch_bounds__(Shape<Element, SIZE>::THREADS, 1)
    backward_queries(float *bias_sums, const AttentionCall call, const SavedForward saved)
{
    using S = Shape<Element, SIZE>;
    Element *shared = shared_memory<Element>();
    constexpr int TILE_NUMBERS = S::TILE * S::ROW;
    TileBuffers<Element> buffers = {
        shared, shared + TILE_NUMBERS, shared + 2 * TILE_NUMBERS, shared + 5 * TILE_NUMBERS,
        shared_memory<float>(5 * S::TILE_BYTES + S::SPAN_BYTES + warp_number() * S::OWN_BYTES)};
    Element *values = shared + 3 * TILE_NUMBERS, *dout = shared + 4 * TILE_NUMBERS;
    Element *own = reinterpret_cast<Element *>(buffers.own);

    int first = static_cast<int>(blockIdx.x) * S::TILE, warp_row = warp_number() * FRAGMENT_ROWS;
    int head = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.z);
    int last = min(first + S::TILE, call.last_query(row));
    int64_t kind_step = static_cast<int64_t>(call.rows) * gridDim.x * call.width;
    bias_sums += (static_cast<int64_t>(row) * gridDim.x + blockIdx.x) * call.width +
                 static_cast<int64_t>(head) * call.head_size;
    for (int kind = 0; kind <= call.num_sources; kind++)
        for (int e = static_cast<int>(threadIdx.x); e < call.head_size; e += S::THREADS)
            bias_sums[kind * kind_step + e] = 0;

    WeightDropout dropout(call, row, head);
    TileWalk<S> walk(call, row, last);
    if (last <= max(first, call.first_query) || walk.done()) return; /* the whole block */

    Fragment<SIZE> content, position;
    content.clear();
    position.clear();
    load_queries<Element, S>(buffers.content_queries, call, row, head, call.content_bias, first, 1);
    GlobalRows<Element> dout_rows = {rows_of<Element>(saved.dout, call.window(row, head)),
                                     call.width, 0, call.length};
    load_rows<S::TILE, S>(dout, dout_rows, first, 1, call.head_size);
    load_values<Element, S>(values, call, walk.source_call(), walk.tile, row, head);
    ptx::copy_async_commit();
    while (!walk.done()) {
        const SourceCall &source = walk.source_call();
        const SlotTile tile = walk.tile;
        int number = walk.source;
        __syncthreads(); /* nobody reads the last keys and positions any more */
        if (source.r != nullptr && tile.first == call.first_slot(source, row))
            load_queries<Element, S>(buffers.position_queries, call, row, head,
                                     source.position_bias, first, 1);
        load_keys<Element, S>(buffers, call, source, tile, row, head, first);
        ptx::copy_async_commit();
        ptx::copy_async_wait<1>();
        __syncthreads(); /* values are there */
        Fragment<S::TILE> weights, gradients;
        value_gradients<Element, SIZE, S>(gradients, values, dout);
        ptx::copy_async_wait<0>();
        __syncthreads(); /* keys and positions are there; nobody reads values any more */
        walk.next();
        if (!walk.done())
            load_values<Element, S>(values, call, walk.source_call(), walk.tile, row, head);
        ptx::copy_async_commit();

        tile_gradients<Element, SIZE, S>(weights, gradients, buffers, call, source, tile, first,
                                         row, saved, call.line(row, head), dropout);
        store_fragment(own, S::WEIGHT_ROW, gradients);
        __syncwarp();
        product_nn<SIZE, S::TILE>(content, own, S::WEIGHT_ROW, buffers.keys, S::ROW);
        __syncwarp();
        if (source.r != nullptr) {
            store_skewed<Element, S>(own, gradients, source.row_stride, tile.used);
            product_nn<SIZE, S::SKEWED>(position, own, S::SKEWED_ROW,
                                        buffers.positions + warp_row * S::ROW, S::ROW);
            __syncwarp();
        }
        if (source.r != nullptr && walk.source != number) {
            finish_term<Element, SIZE, S>(call, row, head, first, position,
                                          bias_sums + (1 + number) * kind_step);
            position.clear();
        }
    }
    __syncthreads();
    finish_term<Element, SIZE, S>(call, row, head, first, content, bias_sums);
}

template <typename Element, int SIZE>
static void launch_queries(Device *device, const AttentionCall &call, SavedForward saved,
                           float *bias_sums)
{
    using S = Shape<Element, SIZE>;
    dim3 blocks(blocks_for(call.length, S::TILE), static_cast<unsigned>(call.heads),
                static_cast<unsigned>(call.rows));
    launch(device, backward_queries<Element, SIZE>, blocks, S::THREADS, queries_shared_bytes<S>,
           bias_sums, call, saved);
}

void attention_backward_queries(Device *device, const AttentionCall &call, SavedForward saved,
                                float *bias_sums)
{
    PAL_FOR_CALL(call, launch_queries, device, call, saved, bias_sums);
}
