/* SPDX-License-Identifier: Apache-2.0
 *
 * Backward: what the three kernels share is made first, the sums of the biases are added up last.
 */
#include "src/tensor/cuda/attention.cuh"
#include "src/tensor/cuda/attention_gradients.cuh"
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/context.cuh"

/* delta (B,H,T) = the sum over a head of do * o; a warp has one query of one head. */
template <typename Element>
static __global__ void attention_delta(float *delta, const Element *o, const Element *dout,
                                       const AttentionCall call)
{
    int64_t lines = static_cast<int64_t>(call.rows) * call.heads * call.length;
    for (int64_t number = first_element() / WARP; number < lines;
         number += element_stride() / WARP) {
        int i = static_cast<int>(number % call.length);
        int64_t pair = number / call.length;
        int64_t at =
            call.window(static_cast<int>(pair / call.heads), static_cast<int>(pair % call.heads)) +
            i * call.width;
        float sum = 0;
        for (int e = lane_number(); e < call.head_size; e += WARP)
            sum = fmaf(to_float(o[at + e]), to_float(dout[at + e]), sum);
        sum = warp_join<Adds>(sum);
        if (lane_number() == 0) delta[number] = sum;
    }
}

/* bias (D) += the sum of `count` lines of D numbers; a block has 32 columns, its warps take turns
 * with the lines. */
static __global__ void add_bias_sums(float *bias, const float *sums, int64_t count, int64_t width)
{
    float *parts = shared_memory<float>();
    int warps = static_cast<int>(blockDim.x) / WARP, warp = warp_number(), lane = lane_number();
    int64_t column = static_cast<int64_t>(blockIdx.x) * WARP + lane;
    float sum = 0;
    for (int64_t line = warp; line < count && column < width; line += warps)
        sum += sums[line * width + column];
    parts[warp * WARP + lane] = sum;
    __syncthreads();
    if (warp != 0 || column >= width) return;
    for (int other = 1; other < warps; other++) sum += parts[other * WARP + lane];
    bias[column] += sum;
}

template <typename Element, int SIZE>
static void count_query_tiles(const AttentionCall &call, size_t *tiles)
{
    constexpr int TILE = Shape<Element, SIZE>::TILE;
    *tiles = static_cast<size_t>((call.length + TILE - 1) / TILE);
}

/* The scratch of a backward pass: delta, then the sums of the biases. */
static size_t delta_numbers(const AttentionCall &call)
{
    return static_cast<size_t>(call.rows) * static_cast<size_t>(call.heads) *
           static_cast<size_t>(call.length);
}

static size_t bias_lines(const AttentionCall &call)
{
    size_t tiles = 0;
    PAL_FOR_CALL(call, count_query_tiles, call, &tiles);
    return static_cast<size_t>(call.rows) * tiles;
}

static size_t scratch_numbers(const AttentionCall &call)
{
    return delta_numbers(call) + (1 + static_cast<size_t>(call.num_sources)) * bias_lines(call) *
                                     static_cast<size_t>(call.width);
}

static void add_biases(Device *device, const AttentionCall &call, const float *sums)
{
    constexpr int WARPS = 8;
    int64_t lines = static_cast<int64_t>(bias_lines(call));
    for (int kind = 0; kind <= call.num_sources; kind++) {
        float *bias = kind == 0 ? call.dcontent_bias : call.sources[kind - 1].dposition_bias;
        if (bias == nullptr) continue;
        launch(device, add_bias_sums, blocks_for(call.width, WARP), WARPS * WARP,
               WARPS * WARP * sizeof(float), bias, sums + kind * lines * call.width, lines,
               call.width);
    }
}

static bool wants_query_gradients(const AttentionCall &call)
{
    bool wanted = call.dq != nullptr || call.dcontent_bias != nullptr;
    for (int i = 0; i < call.num_sources; i++)
        wanted = wanted || call.sources[i].dposition_bias != nullptr;
    return wanted;
}

void cuda_attention_backward(Device *device, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                             Tensor dout)
{
    AttentionCall call = attention_call(device, queries, sources, num_sources);
    float *delta =
        static_cast<float *>(cuda_workspace(device, scratch_numbers(call) * sizeof(float)));
    float *bias_sums = delta + delta_numbers(call);
    unsigned blocks = blocks_for_elements(static_cast<int64_t>(WARP * delta_numbers(call)));
    for_type(call.type, [&]<typename Element>() {
        launch(device, attention_delta<Element>, blocks, BLOCK, 0, delta, numbers_of<Element>(o),
               numbers_of<Element>(dout), call);
    });

    SavedForward saved = {dout.data, tensor_reals(lse), delta};
    if (wants_query_gradients(call)) {
        attention_backward_queries(device, call, saved, bias_sums);
        add_biases(device, call, bias_sums);
    }
    for (int i = 0; i < call.num_sources; i++) {
        const SourceCall &source = call.sources[i];
        if (source.dk != nullptr || source.dv != nullptr)
            attention_backward_keys(device, call, i, saved);
        if (source.dr != nullptr) attention_backward_positions(device, call, i, saved);
    }
    for (int i = 0; i < num_sources; i++)
        device_count(device, attention_backward_operations(queries, &sources[i]));
}

Status cuda_reserve_attention(Device *device, const AttentionQueries *queries,
                              const AttentionSource *sources, int num_sources)
{
    constexpr int most = 128;
    int64_t head_size = queries->q.dims[2] / queries->heads;
    if (head_size > most)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "the cuda device computes attention with heads of up to %d channels, here they "
                 "have %lld (model.width / model.heads): set more heads, or device.name = cpu",
                 most, static_cast<long long>(head_size));
    constexpr int64_t most_rows = 65535; /* of a grid's last dimension */
    if (queries->q.dims[0] > most_rows)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "the cuda device computes attention of up to %lld rows at a time, here a "
                 "micro-batch has %lld: set fewer batch.rows or more parallel.row_groups, or "
                 "device.name = cpu",
                 static_cast<long long>(most_rows), static_cast<long long>(queries->q.dims[0]));
    /* Only shapes count: the arrays may not be there yet. */
    AttentionQueries shape = *queries;
    AttentionSource shapes[PAL_MAX_SOURCES];
    shape.counted = nullptr;
    for (int i = 0; i < num_sources; i++) {
        shapes[i] = sources[i];
        shapes[i].valid = nullptr;
    }
    AttentionCall call = attention_call(device, &shape, shapes, num_sources);
    return cuda_workspace_reserve(device, scratch_numbers(call) * sizeof(float));
}
