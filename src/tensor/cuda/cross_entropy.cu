/* SPDX-License-Identifier: Apache-2.0
 *
 * A block has a row of logits.
 */
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/vector.cuh"

constexpr int WARPS = BLOCK / WARP;
constexpr size_t SHARED_BYTES = WARPS * sizeof(double);

/* Of a row or a slice of it: the highest logit, and the sum of exp(logit - highest). */
struct RowSum {
    float highest;
    double sum;
};

/* In one read of the row: what was summed relative to a lower logit is scaled down to a higher
 * one. Every thread gets the result. (-infinity, 0) where nothing is above -infinity. */
template <int N> static __device__ __forceinline__ RowSum scan_row(const float *x, int64_t count)
{
    float highest = -INFINITY, sum = 0;
    for (int64_t j = N * threadIdx.x; j < count; j += N * blockDim.x) {
        Vector<N> value = read_vector<N>(x + j);
        float before = highest;
#pragma unroll
        for (int i = 0; i < N; i++) highest = value.v[i] > highest ? value.v[i] : highest;
        if (highest > before) sum *= expf(before - highest);
#pragma unroll
        for (int i = 0; i < N; i++) /* NaN, too, must be seen in the sum */
            sum += value.v[i] == -INFINITY ? 0.0f : expf(value.v[i] - highest);
    }
    float all = block_join<Largest>(highest, shared_memory<float>());
    double own = highest == -INFINITY
                     ? static_cast<double>(sum)
                     : static_cast<double>(sum) * static_cast<double>(expf(highest - all));
    return {all, block_join<Adds>(own, shared_memory<double>())};
}

/* logits become softmax - onehot(target), in place. */
template <int N>
static __device__ __forceinline__ void write_gradient(float *x, int64_t count, float highest,
                                                      double sum, int64_t target)
{
    float inverse = static_cast<float>(1.0 / sum);
    for (int64_t j = N * threadIdx.x; j < count; j += N * blockDim.x) {
        Vector<N> value = read_vector<N>(x + j);
#pragma unroll
        for (int i = 0; i < N; i++)
            value.v[i] = expf(value.v[i] - highest) * inverse - (j + i == target ? 1.0f : 0.0f);
        write_vector<N>(x + j, value);
    }
}

template <int N> static __device__ __forceinline__ void write_zeros(float *x, int64_t count)
{
    for (int64_t j = N * threadIdx.x; j < count; j += N * blockDim.x)
        write_vector<N>(x + j, Vector<N>{});
}

/* -log softmax(x)[target] = log(sum exp(x - highest)) + highest - x[target] */
template <int N>
static __global__ void cross_entropy(float *nats, float *logits, const int32_t *targets,
                                     int64_t count, bool gradient)
{
    int64_t row = blockIdx.x;
    float *x = logits + row * count;
    int32_t target = targets[row];
    if (target < 0) { /* the whole block */
        if (threadIdx.x == 0) nats[row] = 0.0f;
        if (gradient) write_zeros<N>(x, count);
        return;
    }
    RowSum of_row = scan_row<N>(x, count);
    if (threadIdx.x == 0)
        nats[row] = static_cast<float>(log(of_row.sum) + (static_cast<double>(of_row.highest) -
                                                          static_cast<double>(x[target])));
    __syncthreads(); /* the target's logit has been read */
    if (gradient) write_gradient<N>(x, count, of_row.highest, of_row.sum, target);
}

template <int N>
static __global__ void cross_entropy_slice(float *part, const float *logits, const int32_t *targets,
                                           int64_t count, int64_t first_token)
{
    int64_t row = blockIdx.x, target = targets[row] - first_token;
    float *to = part + 3 * row;
    if (targets[row] < 0) { /* the whole block */
        if (threadIdx.x < 3) to[threadIdx.x] = 0.0f;
        return;
    }
    const float *x = logits + row * count;
    RowSum of_row = scan_row<N>(x, count);
    if (threadIdx.x == 0) {
        to[0] = of_row.highest;
        to[1] = static_cast<float>(of_row.sum);
        to[2] = target >= 0 && target < count ? x[target] : -INFINITY;
    }
}

template <int N>
static __global__ void cross_entropy_join(float *nats, float *logits, const float *parts,
                                          int64_t slices, const int32_t *targets, int64_t count,
                                          int64_t first_token, bool gradient)
{
    int64_t row = blockIdx.x, rows = gridDim.x;
    float *x = logits + row * count;
    if (targets[row] < 0) { /* the whole block */
        if (threadIdx.x == 0) nats[row] = 0.0f;
        if (gradient) write_zeros<N>(x, count);
        return;
    }
    double highest = -INFINITY, sum = 0.0, of_target = -INFINITY;
    for (int64_t s = 0; s < slices; s++) {
        const float *part = parts + 3 * (s * rows + row);
        highest = fmax(highest, static_cast<double>(part[0]));
        of_target = fmax(of_target, static_cast<double>(part[2]));
    }
    for (int64_t s = 0; s < slices; s++) {
        const float *part = parts + 3 * (s * rows + row);
        if (part[1] != 0.0f)
            sum += static_cast<double>(part[1]) * exp(static_cast<double>(part[0]) - highest);
    }
    if (threadIdx.x == 0) nats[row] = static_cast<float>(log(sum) + highest - of_target);
    if (gradient)
        write_gradient<N>(x, count, static_cast<float>(highest), sum, targets[row] - first_token);
}

/* Rows that can be read by four. */
static bool by_four(Tensor logits)
{
    return logits.dims[1] % 4 == 0 && is_aligned(tensor_reals(logits));
}

void cuda_cross_entropy(Device *device, Tensor nats, Tensor logits, const int32_t *targets,
                        bool gradient)
{
    logits = tensor_as_matrix(logits);
    int64_t rows = logits.dims[0];
    PAL_ASSERT(tensor_count(nats) == rows);
    for (int64_t i = 0; i < rows; i++) PAL_ASSERT(targets[i] < logits.dims[1]);
    launch(device, by_four(logits) ? cross_entropy<4> : cross_entropy<1>, blocks_for(rows, 1),
           BLOCK, SHARED_BYTES, tensor_reals(nats), tensor_reals(logits),
           cuda_argument_array(device, targets, rows), logits.dims[1], gradient);
}

void cuda_cross_entropy_slice(Device *device, Tensor part, Tensor logits, const int32_t *targets,
                              int64_t first_token)
{
    int64_t rows = logits.dims[0];
    PAL_ASSERT(tensor_count(part) == 3 * rows);
    launch(device, by_four(logits) ? cross_entropy_slice<4> : cross_entropy_slice<1>,
           blocks_for(rows, 1), BLOCK, SHARED_BYTES, tensor_reals(part), tensor_reals(logits),
           cuda_argument_array(device, targets, rows), logits.dims[1], first_token);
}

void cuda_cross_entropy_join(Device *device, Tensor nats, Tensor logits, Tensor parts,
                             const int32_t *targets, int64_t first_token, bool gradient)
{
    int64_t rows = logits.dims[0], slices = parts.dims[0];
    PAL_ASSERT(tensor_count(nats) == rows && tensor_count(parts) == 3 * rows * slices);
    launch(device, by_four(logits) ? cross_entropy_join<4> : cross_entropy_join<1>,
           blocks_for(rows, 1), BLOCK, 0, tensor_reals(nats), tensor_reals(logits),
           tensor_reals(parts), slices, cuda_argument_array(device, targets, rows), logits.dims[1],
           first_token, gradient);
}
