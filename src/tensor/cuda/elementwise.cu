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

/* Number i of all: four of them stand in one block where `length` is a multiple of four. */
struct CopyBlocks {
    float *to;
    int64_t to_stride;
    const float *from;
    int64_t from_stride, length;

    __device__ float *target(int64_t i) const { return to + i / length * to_stride + i % length; }
    __device__ const float *source(int64_t i) const
    {
        return from + i / length * from_stride + i % length;
    }
    __device__ void one(int64_t i) const { *target(i) = *source(i); }
    __device__ void four(int64_t i) const { write4(target(i), 0, read4(source(i), 0)); }
};

static void copy_apart(Device *device, CopyBlocks copy, int64_t blocks)
{
    bool strides = blocks == 1 || (copy.to_stride % 4 == 0 && copy.from_stride % 4 == 0);
    map(device, copy, blocks * copy.length,
        strides && copy.length % 4 == 0 && is_aligned(copy.to) && is_aligned(copy.from));
}

/* Whether a block may be copied onto a part of itself. Where the strides differ the distance does
 * too from block to block, and then all blocks are looked at as one. */
static bool may_overlap(CopyBlocks copy, int64_t blocks)
{
    bool alike = copy.to_stride == copy.from_stride;
    int64_t to_all = alike ? copy.length : (blocks - 1) * copy.to_stride + copy.length;
    int64_t from_all = alike ? copy.length : (blocks - 1) * copy.from_stride + copy.length;
    return copy.to < copy.from + from_all && copy.from < copy.to + to_all;
}

void cuda_copy_blocks(Device *device, Real *to, int64_t to_stride, const Real *from,
                      int64_t from_stride, int64_t blocks, int64_t length)
{
    if (blocks == 0 || length == 0) return;
    if (blocks == 1) to_stride = from_stride = length;
    if (to == from && to_stride == from_stride) return;
    CopyBlocks copy = {to, to_stride, from, from_stride, length};
    if (!may_overlap(copy, blocks)) {
        copy_apart(device, copy, blocks);
        return;
    }
    /* Threads come in any order, so what is moved onto itself goes by way of scratch memory. */
    size_t bytes = checked_size(blocks * length) * sizeof(Real);
    Real *apart = static_cast<Real *>(cuda_workspace(device, bytes));
    copy_apart(device, {apart, length, from, from_stride, length}, blocks);
    copy_apart(device, {to, to_stride, apart, length, length}, blocks);
}
