/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers that are read and written together: four where a row's address and width allow it, since
 * memory is read in wide pieces that way, else one.
 */
#ifndef PAL_TENSOR_CUDA_VECTOR_CUH
#define PAL_TENSOR_CUDA_VECTOR_CUH

#include "src/tensor/cuda/numbers.cuh"

/* Whether four numbers can be read there at once. */
template <typename T> static inline bool is_aligned(const T *address)
{
    return reinterpret_cast<uintptr_t>(address) % (4 * sizeof(T)) == 0;
}

static __device__ __forceinline__ float4 read4(const float *x, int64_t i)
{
    return *reinterpret_cast<const float4 *>(x + i);
}

static __device__ __forceinline__ void write4(float *x, int64_t i, float4 value)
{
    *reinterpret_cast<float4 *>(x + i) = value;
}

/* Four of them are eight bytes. */
struct alignas(8) BFloat16x4 {
    __nv_bfloat162 low, high;
};

static __device__ __forceinline__ float4 read4(const BFloat16 *x, int64_t i)
{
    BFloat16x4 all = *reinterpret_cast<const BFloat16x4 *>(x + i);
    float2 low = __bfloat1622float2(all.low), high = __bfloat1622float2(all.high);
    return make_float4(low.x, low.y, high.x, high.y);
}

static __device__ __forceinline__ void write4(BFloat16 *x, int64_t i, float4 value)
{
    BFloat16x4 all = {__floats2bfloat162_rn(value.x, value.y),
                      __floats2bfloat162_rn(value.z, value.w)};
    *reinterpret_cast<BFloat16x4 *>(x + i) = all;
}

/* For code that is written once for both widths, N = 1 or 4. */
template <int N> struct Vector {
    float v[N];
};

template <int N, typename T> static __device__ __forceinline__ Vector<N> read_vector(const T *x)
{
    if constexpr (N == 4) {
        float4 all = read4(x, 0);
        return {{all.x, all.y, all.z, all.w}};
    } else {
        return {{to_float(*x)}};
    }
}

template <int N, typename T>
static __device__ __forceinline__ void write_vector(T *x, const Vector<N> &all)
{
    if constexpr (N == 4)
        write4(x, 0, make_float4(all.v[0], all.v[1], all.v[2], all.v[3]));
    else
        *x = to_number<T>(all.v[0]);
}

#endif
