/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"

struct Times {
    float factor;
    __device__ float operator()(float x) const { return factor * x; }
};

struct Plus {
    __device__ float operator()(float y, float x) const { return y + x; }
};

/* Writes alone: what was there may never have been written. */
struct FillMap {
    float *x;
    float value;
    __device__ void one(int64_t i) const { x[i] = value; }
    __device__ void four(int64_t i) const { write4(x, i, make_float4(value, value, value, value)); }
};

void cuda_fill(Device *device, Tensor x, double value)
{
    map(device, FillMap{x.data, static_cast<float>(value)}, tensor_count(x), is_aligned(x.data));
}

void cuda_scale(Device *device, Tensor x, double factor)
{
    map_unary(device, x.data, x.data, tensor_count(x), Times{static_cast<float>(factor)});
}

void cuda_add(Device *device, Tensor y, Tensor x)
{
    PAL_ASSERT(tensor_count(x) == tensor_count(y));
    map_binary(device, y.data, x.data, tensor_count(y), Plus{});
}

/* --- copies ----------------------------------------------------------------------------------- */

static __global__ void copy_blocks_kernel(float *to, int64_t to_stride, const float *from,
                                          int64_t from_stride, int64_t blocks, int64_t length)
{
    for (int64_t i = first_element(); i < blocks * length; i += element_stride()) {
        int64_t block = i / length, at = i % length;
        to[block * to_stride + at] = from[block * from_stride + at];
    }
}

static __global__ void copy_blocks_kernel_4(float *to, int64_t to_stride, const float *from,
                                            int64_t from_stride, int64_t blocks, int64_t length)
{
    int64_t fours = length / 4;
    for (int64_t i = first_element(); i < blocks * fours; i += element_stride()) {
        int64_t block = i / fours, at = i % fours * 4;
        *reinterpret_cast<float4 *>(to + block * to_stride + at) =
            *reinterpret_cast<const float4 *>(from + block * from_stride + at);
    }
}

static void copy_apart(Device *device, float *to, int64_t to_stride, const float *from,
                       int64_t from_stride, int64_t blocks, int64_t length)
{
    bool wide = is_aligned(to) && is_aligned(from) && length % 4 == 0 &&
                (blocks == 1 || (to_stride % 4 == 0 && from_stride % 4 == 0));
    launch(device, wide ? copy_blocks_kernel_4 : copy_blocks_kernel,
           blocks_for_elements(blocks * length / (wide ? 4 : 1)), BLOCK, 0, to, to_stride, from,
           from_stride, blocks, length);
}

void cuda_copy_blocks(Device *device, Real *to, int64_t to_stride, const Real *from,
                      int64_t from_stride, int64_t blocks, int64_t length)
{
    if (blocks == 0 || length == 0 || to == from) return;
    bool overlap = to < from + length && from < to + length;
    if (!overlap) {
        copy_apart(device, to, to_stride, from, from_stride, blocks, length);
        return;
    }
    /* Threads come in any order, so what is moved onto itself goes by way of scratch memory. */
    size_t bytes = checked_size(blocks * length) * sizeof(Real);
    Real *apart = static_cast<Real *>(cuda_workspace(device, bytes));
    copy_apart(device, apart, length, from, from_stride, blocks, length);
    copy_apart(device, to, to_stride, apart, length, blocks, length);
}
