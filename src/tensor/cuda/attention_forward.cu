/* SPDX-License-Identifier: Apache-2.0
 *
 * Forward: a block has 64 (or 32) queries of one (row, head) and walks over the tiles of slots of
 * all sources. While logits are made of keys and positions the tile's values are on their way, and
 * while values are added up the next tile's keys and positions.
 */
#include "src/tensor/cuda/attention.cuh"
#include "src/tensor/cuda/attention_tiles.cuh"
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/context.cuh"

template <typename S>
constexpr size_t forward_shared_bytes = 4 * S::TILE_BYTES + S::SPAN_BYTES + S::WARPS *S::OWN_BYTES;

/* One step of the online softmax (Milakov & Gimelshein 2018): logits become weights relative to the
 * largest logit so far, and what was summed relative to an earlier one is scaled down to it. */
template <int SIZE, typename S>
static __device__ __forceinline__ void softmax_step(Fragment<S::TILE> &s, Fragment<SIZE> &out,
                                                    float (&highest)[2], float (&sum)[2])
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float found = -INFINITY;
#pragma unroll
        for (int n = 0; n < S::TILE / 8; n++)
            found = fmaxf(found, fmaxf(s.x[n][2 * half], s.x[n][2 * half + 1]));
        found = fmaxf(highest[half], row_join<Largest>(found));
        float base = found == -INFINITY ? 0.0f : found; /* nothing seen yet: all weights are 0 */
        float shrink = exp2f(highest[half] - base), added = 0.0f;
#pragma unroll
        for (int n = 0; n < S::TILE / 8; n++)
#pragma unroll
            for (int k = 2 * half; k < 2 * half + 2; k++) {
                s.x[n][k] = exp2f(s.x[n][k] - base);
                added += s.x[n][k];
            }
#pragma unroll
        for (int n = 0; n < SIZE / 8; n++) {
            out.x[n][2 * half] *= shrink;
            out.x[n][2 * half + 1] *= shrink;
        }
        sum[half] = sum[half] * shrink + added;
        highest[half] = found;
    }
}

template <typename Element, int SIZE>
static __global__ void __launch_bounds__(Shape<Element, SIZE>::THREADS, 1)
    attention_forward(Element *o, float *lse, const AttentionCall call)
{
    using S = Shape<Element, SIZE>;
    Element *shared = shared_memory<Element>();
    constexpr int TILE_NUMBERS = S::TILE * S::ROW;
    TileBuffers<Element> buffers = {
        shared, shared + TILE_NUMBERS, shared + 2 * TILE_NUMBERS, shared + 4 * TILE_NUMBERS,
        shared_memory<float>(4 * S::TILE_BYTES + S::SPAN_BYTES + warp_number() * S::OWN_BYTES)};
    Element *values = shared + 3 * TILE_NUMBERS;

    int first = static_cast<int>(blockIdx.x) * S::TILE;
    int head = static_cast<int>(blockIdx.y), row = static_cast<int>(blockIdx.z);
    int last = min(first + S::TILE, call.last_query(row));
    WeightDropout dropout(call, row, head);
    Fragment<SIZE> out;
    out.clear();
    float highest[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};

    TileWalk<S> walk(call, row, last);
    bool any = last > max(first, call.first_query) && !walk.done();
    if (any) {
        load_queries<Element, S>(buffers.content_queries, call, row, head, call.content_bias, first,
                                 1);
        load_keys<Element, S>(buffers, call, walk.source_call(), walk.tile, row, head, first);
        ptx::copy_async_commit();
    }
    int entered = -1; /* the source that position_queries are for */
    while (any && !walk.done()) {
        const SourceCall &source = call.sources[walk.source];
        const SlotTile tile = walk.tile;
        if (walk.source != entered && source.r != nullptr)
            load_queries<Element, S>(buffers.position_queries, call, row, head,
                                     source.position_bias, first, 1);
        entered = walk.source;
        ptx::copy_async_wait<0>();
        __syncthreads(); /* keys and positions are there; nobody reads values any more */
        load_values<Element, S>(values, call, source, tile, row, head);
        ptx::copy_async_commit();

        Fragment<S::TILE> s;
        logits<Element, SIZE, S>(s, buffers, source, tile.used);
        __syncthreads(); /* nobody reads keys and positions any more */
        walk.next();
        if (!walk.done())
            load_keys<Element, S>(buffers, call, walk.source_call(), walk.tile, row, head, first);
        ptx::copy_async_commit();

        Visibility visible = visibility(call, source, row);
        visible.end = min(tile.first + tile.used, tile.end);
        int warp_first = first + warp_number() * FRAGMENT_ROWS;
        each(s, [&](float &x, int i, int c) {
            bool seen = visible.sees(warp_first + i, tile.first + c);
            x = seen ? x * call.scale * LOG2_E : -INFINITY;
        });
        softmax_step<SIZE, S>(s, out, highest, sum);
        if (call.kept > 0)
            each(s, [&](float &x, int i, int c) {
                x *= dropout.factor(source, warp_first + i, tile.first + c);
            });
        Element *weights = reinterpret_cast<Element *>(buffers.own);
        store_fragment(weights, S::WEIGHT_ROW, s);
        ptx::copy_async_wait<1>();
        __syncthreads(); /* values are there */
        product_nn<SIZE, S::TILE>(out, weights, S::WEIGHT_ROW, values, S::ROW);
        __syncwarp();
    }

#pragma unroll
    for (int half = 0; half < 2; half++) {
        int i = first + warp_number() * FRAGMENT_ROWS + fragment_row(2 * half);
        float total = row_join<Adds>(sum[half]);
        float inverse = total > 0 || total != total ? 1.0f / total : 0.0f;
        if (i >= call.length) continue;
        if (lane_number() % 4 == 0)
            lse[call.line(row, head) + i] =
                inverse == 0.0f ? 0.0f : (highest[half] + log2f(total)) * LN_2;
        Element *to = o + call.window(row, head) + i * call.width;
#pragma unroll
        for (int n = 0; n < SIZE / 8; n++)
#pragma unroll
            for (int k = 0; k < 2; k++)
                if (fragment_column(n, k) < call.head_size)
                    to[fragment_column(n, k)] =
                        to_number<Element>(out.x[n][2 * half + k] * inverse);
    }
}

template <typename Element, int SIZE>
static void launch_forward(Device *device, Tensor o, Tensor lse, const AttentionCall &call)
{
    using S = Shape<Element, SIZE>;
    dim3 blocks(blocks_for(call.length, S::TILE), static_cast<unsigned>(call.heads),
                static_cast<unsigned>(call.rows));
    launch(device, attention_forward<Element, SIZE>, blocks, S::THREADS, forward_shared_bytes<S>,
           numbers_of<Element>(o), tensor_reals(lse), call);
}

void cuda_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                            const AttentionSource *sources, int num_sources)
{
    AttentionCall call = attention_call(device, queries, sources, num_sources);
    PAL_FOR_CALL(call, launch_forward, device, o, lse, call);
    for (int i = 0; i < num_sources; i++)
        device_count(device, attention_forward_operations(queries, &sources[i]));
}
