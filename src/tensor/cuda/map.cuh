/* SPDX-License-Identifier: Apache-2.0
 *
 * Elementwise operations: a function of an index over all elements, four at a time where all
 * pointers allow it, so that memory is read and written in wide pieces.
 */
#ifndef PAL_TENSOR_CUDA_MAP_CUH
#define PAL_TENSOR_CUDA_MAP_CUH

#include "src/tensor/cuda/common.cuh"
#include "src/tensor/cuda/vector.cuh"

/* An operation has `void one(int64_t i)` and `void four(int64_t i)`, for elements i to i + 3. */
template <typename Operation>
static __global__ void map_kernel(Operation operation, int64_t fours, int64_t count)
{
    for (int64_t i = first_element(); i < fours; i += element_stride()) operation.four(4 * i);
    for (int64_t i = 4 * fours + first_element(); i < count; i += element_stride())
        operation.one(i);
}

/* `aligned`: whether all that the operation touches is. */
template <typename Operation>
void map(Device *device, Operation operation, int64_t count, bool aligned)
{
    int64_t fours = aligned ? count / 4 : 0, threads = fours + (count - 4 * fours);
    launch(device, map_kernel<Operation>, blocks_for_elements(threads), BLOCK, 0, operation, fours,
           count);
}

/* y = f(x), or with y in place: f has `float operator()(float)`. */
template <typename T, typename F> struct UnaryMap {
    T *y;
    const T *x;
    F f;

    __device__ void one(int64_t i) const { y[i] = to_number<T>(f(to_float(x[i]))); }
    __device__ void four(int64_t i) const
    {
        float4 a = read4(x, i);
        write4(y, i, make_float4(f(a.x), f(a.y), f(a.z), f(a.w)));
    }
};

/* y = f(y, x) */
template <typename T, typename F> struct BinaryMap {
    T *y;
    const T *x;
    F f;

    __device__ void one(int64_t i) const { y[i] = to_number<T>(f(to_float(y[i]), to_float(x[i]))); }
    __device__ void four(int64_t i) const
    {
        float4 a = read4(y, i), b = read4(x, i);
        write4(y, i, make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w)));
    }
};

/* Of tensors of one type and as many numbers. */
template <typename F> void map_unary(Device *device, Tensor y, Tensor x, F f)
{
    PAL_ASSERT(tensor_count(y) == tensor_count(x));
    for_type(y.type, [&]<typename T>() {
        T *to = numbers_of<T>(y), *from = numbers_of<T>(x);
        map(device, UnaryMap<T, F>{to, from, f}, tensor_count(y),
            is_aligned(to) && is_aligned(from));
    });
}

template <typename F> void map_binary(Device *device, Tensor y, Tensor x, F f)
{
    PAL_ASSERT(tensor_count(y) == tensor_count(x));
    for_type(y.type, [&]<typename T>() {
        T *to = numbers_of<T>(y), *from = numbers_of<T>(x);
        map(device, BinaryMap<T, F>{to, from, f}, tensor_count(y),
            is_aligned(to) && is_aligned(from));
    });
}

#endif
