/* SPDX-License-Identifier: Apache-2.0
 *
 * exp() that the compiler turns into vector instructions inside an `omp simd` loop.
 *
 *     exp(x) = 2^n exp(r),   n = round(x / ln 2),   r = x - n ln 2,   |r| <= ln(2) / 2
 *
 * Within 2 units in the last place for -87 <= x <= 88; exactly 0 below (so exp(-infinity) = 0),
 * exp(88) above, NaN for NaN. The double build, which serves gradient checks only, takes the
 * C library's.
 */
#ifndef PAL_TENSOR_CPU_VECTOR_MATH_H
#define PAL_TENSOR_CPU_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "src/tensor/dims.h"

static inline float vector_exp_float(float x)
{
    const float lowest = -87.0f, highest = 88.0f;
    float clamped = x < lowest ? lowest : x;
    clamped = clamped > highest ? highest : clamped;

    /* Adding 1.5 * 2^23 leaves the rounded number in the low bits of the sum. */
    const float shifter = 0x1.8p23f;
    float shifted = clamped * 0x1.715476p+0f + shifter;
    float n = shifted - shifter;
    /* ln 2 in two pieces, so that n * ln 2 is subtracted to more than a float's precision. */
    float r = clamped - n * 0x1.62e4p-1f;
    r = r - n * 0x1.7f7d1cp-20f;

    /* exp(r) - 1 - r by a polynomial of minimal largest error (Cephes, expf). */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;

    /* 2^n: n + 127 into the exponent. */
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    float result = p * power;
    return x < lowest ? 0.0f : result;
}

static inline Real vector_exp(Real x)
{
    return sizeof(Real) == sizeof(float) ? (Real)vector_exp_float((float)x) : (Real)exp((double)x);
}

#endif
