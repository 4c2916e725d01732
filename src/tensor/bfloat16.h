/* SPDX-License-Identifier: Apache-2.0
 *
 * bfloat16 on the host: the upper half of a float32.
 */
#ifndef PAL_TENSOR_BFLOAT16_H
#define PAL_TENSOR_BFLOAT16_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* To nearest, ties to even; NaN stays NaN. */
static inline uint16_t bfloat16_of(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
    return (uint16_t)(is_nan ? quiet : rounded);
}

static inline float float_of_bfloat16(uint16_t stored)
{
    uint32_t bits = (uint32_t)stored << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

#endif
