/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers that are read and written together: four where a row's address and width allow it, since
 * memory is read in its widest pieces that way, else one.
 */
#ifndef PAL_TENSOR_CUDA_VECTOR_CUH
#define PAL_TENSOR_CUDA_VECTOR_CUH

#include "src/tensor/cuda/common.cuh"

static inline bool is_aligned(const void *address)
{
    return reinterpret_cast<uintptr_t>(address) % sizeof(float4) == 0;
}

static __device__ __forceinline__ float4 read4(const float *x, int64_t i)
{
    return *reinterpret_cast<const float4 *>(x + i);
}

static __device__ __forceinline__ void write4(float *x, int64_t i, float4 value)
{
    *reinterpret_cast<float4 *>(x + i) = value;
}

/* For code that is written once for both widths, N = 1 or 4. */
template <int N> struct Vector {
    float v[N];
};

template <int N> static __device__ __forceinline__ Vector<N> read_vector(const float *x)
{
    if constexpr (N == 4) {
        float4 all = read4(x, 0);
        return {{all.x, all.y, all.z, all.w}};
    } else {
        return {{*x}};
    }
}

template <int N> static __device__ __forceinline__ void write_vector(float *x, const Vector<N> &all)
{
    if constexpr (N == 4)
        write4(x, 0, make_float4(all.v[0], all.v[1], all.v[2], all.v[3]));
    else
        *x = all.v[0];
}

#endif
