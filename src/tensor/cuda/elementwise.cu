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
template <typename T> struct FillMap {
    T *x;
    float value;
    __device__ void one(int64_t i) const { x[i] = to_number<T>(value); }
    __device__ void four(int64_t i) const { write4(x, i, make_float4(value, value, value, value)); }
};

void cuda_fill(Device *device, Tensor x, double value)
{
    for_type(x.type, [&]<typename T>() {
        T *to = numbers_of<T>(x);
        map(device, FillMap<T>{to, static_cast<float>(value)}, tensor_count(x), is_aligned(to));
    });
}

void cuda_scale(Device *device, Tensor x, double factor)
{
    map_unary(device, x, x, Times{static_cast<float>(factor)});
}

void cuda_add(Device *device, Tensor y, Tensor x) { map_binary(device, y, x, Plus{}); }

/* --- copies ----------------------------------------------------------------------------------- */

/* Number i of all: four of them stand in one block where `length` is a multiple of four. */
template <typename To, typename From> struct CopyBlocks {
    To *to;
    int64_t to_stride;
    const From *from;
    int64_t from_stride, length;

    __device__ To *target(int64_t i) const { return to + i / length * to_stride + i % length; }
    __device__ const From *source(int64_t i) const
    {
        return from + i / length * from_stride + i % length;
    }
    __device__ void one(int64_t i) const { *target(i) = to_number<To>(to_float(*source(i))); }
    __device__ void four(int64_t i) const { write4(target(i), 0, read4(source(i), 0)); }
};

template <typename To, typename From>
static void copy_apart(Device *device, CopyBlocks<To, From> copy, int64_t blocks)
{
    bool strides = blocks == 1 || (copy.to_stride % 4 == 0 && copy.from_stride % 4 == 0);
    map(device, copy, blocks * copy.length,
        strides && copy.length % 4 == 0 && is_aligned(copy.to) && is_aligned(copy.from));
}

/* Whether a block may be copied onto a part of itself. Where the strides differ the distance does
 * too from block to block, and then all blocks are looked at as one. */
template <typename T> static bool may_overlap(CopyBlocks<T, T> copy, int64_t blocks)
{
    bool alike = copy.to_stride == copy.from_stride;
    int64_t to_all = alike ? copy.length : (blocks - 1) * copy.to_stride + copy.length;
    int64_t from_all = alike ? copy.length : (blocks - 1) * copy.from_stride + copy.length;
    return copy.to < copy.from + from_all && copy.from < copy.to + to_all;
}

template <typename T> static void copy_alike(Device *device, CopyBlocks<T, T> copy, int64_t blocks)
{
    if (copy.to == copy.from && copy.to_stride == copy.from_stride) return;
    if (!may_overlap(copy, blocks)) {
        copy_apart(device, copy, blocks);
        return;
    }
    /* Threads come in any order, so what is moved onto itself goes by way of scratch memory. */
    int64_t length = copy.length;
    T *apart = static_cast<T *>(cuda_workspace(device, checked_size(blocks * length) * sizeof(T)));
    copy_apart<T, T>(device, {apart, length, copy.from, copy.from_stride, length}, blocks);
    copy_apart<T, T>(device, {copy.to, copy.to_stride, apart, length, length}, blocks);
}

void cuda_copy_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from,
                      int64_t from_stride, int64_t blocks, int64_t length)
{
    if (blocks == 0 || length == 0) return;
    if (blocks == 1) to_stride = from_stride = length;
    for_type(to.type, [&]<typename To>() {
        for_type(from.type, [&]<typename From>() {
            CopyBlocks<To, From> copy = {numbers_of<To>(to), to_stride, numbers_of<From>(from),
                                         from_stride, length};
            if constexpr (NUMBER_TYPE<To> == NUMBER_TYPE<From>)
                copy_alike(device, copy, blocks);
            else
                copy_apart(device, copy, blocks);
        });
    });
}
