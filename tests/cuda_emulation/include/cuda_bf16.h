/* SPDX-License-Identifier: Apache-2.0
 *
 * bfloat16: the upper half of a float32, rounded to nearest, ties to even.
 */
#ifndef CUDA_EMULATION_CUDA_BF16_H
#define CUDA_EMULATION_CUDA_BF16_H

#include <cuda_runtime.h>

struct __nv_bfloat16 {
    uint16_t bits;
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __float2bfloat16(float x)
{
    unsigned bits = __float_as_uint(x);
    if (x != x) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

inline float __bfloat162float(__nv_bfloat16 x)
{
    return __uint_as_float(static_cast<unsigned>(x.bits) << 16);
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return {__float2bfloat16(x), __float2bfloat16(y)};
}

inline float2 __bfloat1622float2(__nv_bfloat162 x)
{
    return make_float2(__bfloat162float(x.x), __bfloat162float(x.y));
}

#endif
