/* SPDX-License-Identifier: Apache-2.0
 *
 * The two types that numbers are stored in. Kernels are written over them, compute in float, and
 * are chosen by the type of a tensor:
 *
 *     for_type(x.type, [&]<typename T>() {
 *         launch(device, some_kernel<T>, ..., numbers_of<T>(x));
 *     });
 */
#ifndef PAL_TENSOR_CUDA_NUMBERS_CUH
#define PAL_TENSOR_CUDA_NUMBERS_CUH

#include <cuda_bf16.h>

#include "src/tensor/cuda/common.cuh"

using BFloat16 = __nv_bfloat16;

template <typename F> void for_type(NumberType type, F f)
{
    if (type == NUMBER_BFLOAT16)
        f.template operator()<BFloat16>();
    else
        f.template operator()<float>();
}

template <typename T> constexpr NumberType NUMBER_TYPE = NUMBER_FLOAT32;
template <> constexpr NumberType NUMBER_TYPE<BFloat16> = NUMBER_BFLOAT16;

/* NULL of a tensor that is not there. */
template <typename T> T *numbers_of(Tensor x)
{
    PAL_ASSERT(!tensor_exists(x) || x.type == NUMBER_TYPE<T>);
    return static_cast<T *>(x.data);
}

template <typename T> static __device__ __forceinline__ T to_number(float x);
template <> __device__ __forceinline__ float to_number<float>(float x) { return x; }
template <> __device__ __forceinline__ BFloat16 to_number<BFloat16>(float x)
{
    return __float2bfloat16(x);
}

static __device__ __forceinline__ float to_float(float x) { return x; }
static __device__ __forceinline__ float to_float(BFloat16 x) { return __bfloat162float(x); }

#endif
