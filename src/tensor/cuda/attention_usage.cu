/* SPDX-License-Identifier: Apache-2.0
 *
 * The mean attention weight on each slot of one source. A block has a tile of slots of one row, for
 * all heads and queries, so nothing is shared and the order of the sum is fixed.
 */
#include "src/tensor/cuda/attention.cuh"
#include "src/tensor/cuda/attention_tiles.cuh"

template <typename S>
constexpr size_t usage_shared_bytes = 3 * S::TILE_BYTES + S::SPAN_BYTES + S::WARPS *S::OWN_BYTES;

/* sums += the weights of this warp's queries on each column. */
template <int N>
static __device__ __forceinline__ void add_weights(Fragment<N> &sums, const Fragment<N> &logits,
                                                   const AttentionCall &call,
                                                   const Visibility &visible, const float *lse,
                                                   int first_query, int first_slot)
{
#pragma unroll
    for (int k = 0; k < 4; k++) {
        int i = first_query + fragment_row(k);
        float of_query = i < call.length ? lse[i] * LOG2_E : 0.0f;
#pragma unroll
        for (int n = 0; n < N / 8; n++)
            if (visible.sees(i, first_slot + fragment_column(n, k)))
                sums.x[n][k] += exp2f(logits.x[n][k] * call.scale * LOG2_E - of_query);
    }
}

template <typename Element, int SIZE>
static __global__ void __launch_bounds__(Shape<Element, SIZE>::THREADS, 1)
    attention_usage(float *usage, const float *lse, const AttentionCall call)
{
    using S = Shape<Element, SIZE>;
    const SourceCall &source = call.sources[0];
    Element *shared = shared_memory<Element>();
    constexpr int TILE_NUMBERS = S::TILE * S::ROW, OWN = S::OWN_BYTES / sizeof(float);
    float *all_own = shared_memory<float>(3 * S::TILE_BYTES + S::SPAN_BYTES);
    TileBuffers<Element> buffers = {shared, shared + TILE_NUMBERS, shared + 2 * TILE_NUMBERS,
                                    shared + 3 * TILE_NUMBERS, all_own + warp_number() * OWN};

    int row = static_cast<int>(blockIdx.y), used = slots_per_tile<S>(source);
    SlotTile tile = {static_cast<int>(blockIdx.x) * used, used, source.slots};
    Visibility visible = visibility(call, source, row);
    visible.end = min(tile.first + used, source.slots);
    Fragment<S::TILE> sums;
    sums.clear();
    for (int head = 0; head < call.heads; head++)
        for (int first = visible.first_query / S::TILE * S::TILE; first < visible.last_query;
             first += S::TILE) {
            __syncthreads(); /* nobody reads the last tiles any more */
            load_both_queries<Element, S>(buffers, call, source, row, head, first);
            load_keys<Element, S>(buffers, call, source, tile, row, head, first);
            ptx::copy_async_commit();
            ptx::copy_async_wait<0>();
            __syncthreads();
            Fragment<S::TILE> s;
            logits<Element, SIZE, S>(s, buffers, source, used);
            add_weights(sums, s, call, visible, lse + call.line(row, head),
                        first + warp_number() * FRAGMENT_ROWS, tile.first);
        }

    store_column_sums(buffers.own, sums);
    __syncthreads();
    int queries = max(visible.last_query - visible.first_query, 0);
    float share =
        queries > 0 ? 1.0f / (static_cast<float>(call.heads) * static_cast<float>(queries)) : 0.0f;
    for (int c = static_cast<int>(threadIdx.x); tile.first + c < visible.end; c += S::THREADS) {
        float sum = 0;
        for (int warp = 0; warp < S::WARPS; warp++) sum += all_own[warp * OWN + c];
        usage[static_cast<int64_t>(row) * source.slots + tile.first + c] = sum * share;
    }
}

template <typename Element, int SIZE>
static void launch_usage(Device *device, Tensor usage, Tensor lse, const AttentionCall &call)
{
    using S = Shape<Element, SIZE>;
    int stride = call.sources[0].row_stride, used = S::TILE / stride > 1 ? S::TILE / stride : 1;
    dim3 blocks(blocks_for(call.sources[0].slots, used), static_cast<unsigned>(call.rows));
    launch(device, attention_usage<Element, SIZE>, blocks, S::THREADS, usage_shared_bytes<S>,
           tensor_reals(usage), tensor_reals(lse), call);
}

void cuda_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                          const AttentionSource *source, Tensor lse)
{
    AttentionCall call = attention_call(device, queries, source, 1);
    if (call.num_sources > 0) PAL_FOR_CALL(call, launch_usage, device, usage, lse, call);
    device_count(device, attention_usage_operations(queries, source));
}
