/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of small tiles that live in cache, for attention: one register-blocked kernel, written
 * with vector types of the compiler, does all of them.
 *
 *   tile_product             c (m,n)  = [c +] a (m,k) b (k,n)
 *   tile_product_skewed      c[i][j]  = sum_p a[i][p] b[p][j - i]
 *   tile_transpose           y (n,m)  = x (m,n)^T
 *   vector_exp2              2^x of a vector
 *
 * Elements of `a` are reached by two strides, so a and a^T (and every second row, and the diagonals
 * of a skewed matrix) are the same to the kernel. Rows of `b` and `c` are contiguous. A product
 * works on whole vectors of columns: with n rounded up, the columns behind n are read from b and
 * written to c, so both have room (tile_width) there. Nothing here needs alignment.
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_TILES_H
#define PAL_TENSOR_CPU_ATTENTION_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/tensor/dims.h"

#if defined(__AVX512F__)
#define PAL_VECTOR_BYTES 64
#elif defined(__AVX__)
#define PAL_VECTOR_BYTES 32
#else
#define PAL_VECTOR_BYTES 16
#endif

typedef Real Vector __attribute__((vector_size(PAL_VECTOR_BYTES)));
typedef Real UnalignedVector
    __attribute__((vector_size(PAL_VECTOR_BYTES), aligned(sizeof(Real)), may_alias));

#ifdef PAL_DOUBLE
typedef int64_t LaneInt;
typedef uint64_t LaneBits;
#else
typedef int32_t LaneInt;
typedef uint32_t LaneBits;
#endif
typedef LaneInt VectorMask __attribute__((vector_size(PAL_VECTOR_BYTES)));
typedef LaneBits VectorBits __attribute__((vector_size(PAL_VECTOR_BYTES)));

/* The kernel keeps up to TILE_ROWS x TILE_VECTORS sums in registers: 24 of 32, or 8 of 16. */
enum {
    VECTOR_LANES = PAL_VECTOR_BYTES / (int)sizeof(Real),
    TILE_ROWS = 4,
#if defined(__AVX512F__)
    TILE_VECTORS = 6,
#else
    TILE_VECTORS = 2,
#endif
};

typedef struct TileProduct {
    Real *c;         /* (m,n) */
    ptrdiff_t c_row; /* step from row to row */
    const Real *a;   /* (m,k) */
    ptrdiff_t a_row, a_column;
    const Real *b; /* (k,n) */
    ptrdiff_t b_row;
    int m, n, k;
    bool accumulate;
} TileProduct;

void tile_product(TileProduct product);

/* c[i][j] = sum_p a[i][p] b[p][j - i], so b has columns from -(m-1) on. Also writes numbers without
 * meaning to the TILE_ROWS - 1 columns before each row of c, and behind n as above; and therefore
 * reads up to TILE_ROWS - 1 columns more of b. Never accumulates: it comes first. */
void tile_product_skewed(TileProduct product);

/* y[j][i] = x[i][j] for i < m, j < n. */
void tile_transpose(Real *y, ptrdiff_t y_row, const Real *x, ptrdiff_t x_row, int m, int n);

static inline Vector vector_load(const Real *x) { return *(const UnalignedVector *)x; }
static inline void vector_store(Real *x, Vector value) { *(UnalignedVector *)x = value; }
static inline Vector vector_all(Real x) { return x - (Vector){0}; }

static inline Vector vector_larger(Vector x, Vector y)
{
    VectorMask greater = (VectorMask)(x > y);
    return (Vector)(((VectorMask)x & greater) | ((VectorMask)y & ~greater));
}

static inline int smaller(int a, int b) { return a < b ? a : b; }
static inline int larger(int a, int b) { return a > b ? a : b; }
static inline int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/* The row length of a tile with n columns: room for whole vectors, and an odd number of cache
 * lines, since with a power of two all rows would share a few cache sets. */
static inline int tile_width(int n)
{
    int line = 64 / (int)sizeof(Real);
    return (round_up(round_up(n, VECTOR_LANES), line) / line | 1) * line;
}

/* 2^x to about one unit in the last place; 0 below the range of normal numbers (so for -infinity),
 * NaN for NaN.
 * x = n + f with |f| <= 1/2: adding `shift` leaves n in the low bits of the sum, and n is added to
 * the exponent of the polynomial for 2^f. */
static inline Vector vector_exp2(Vector x)
{
#ifdef PAL_DOUBLE
    static const Real shift = 0x1.8p52, lowest = -1022;
    enum { exponent_position = 52 };
    static const Real coefficients[] = {/* ln(2)^k / k!, k = 13 ... 0 */
                                        1.3691488853904128881e-12, 2.5678435993488205142e-11,
                                        4.4455382718708114976e-10, 7.0549116208011233299e-9,
                                        1.0178086009239699728e-7,  1.3215486790144309488e-6,
                                        1.5252733804059840280e-5,  1.5403530393381609954e-4,
                                        1.3333558146428443423e-3,  9.6181291076284771619e-3,
                                        5.5504108664821579953e-2,  2.4022650695910071233e-1,
                                        6.9314718055994530942e-1,  1.0};
#else
    static const Real shift = 0x1.8p23f, lowest = -126;
    enum { exponent_position = 23 };
    static const Real coefficients[] = {/* 1 + f p(f) with p interpolated at Chebyshev's
                                               points: relative error 1e-8 before rounding */
                                        1.545316336e-4f,
                                        1.339086331e-3f,
                                        9.618083015e-3f,
                                        5.550356954e-2f,
                                        2.402265072e-1f,
                                        6.931471825e-1f,
                                        1.0f};
#endif
    Vector shifted = x + shift;
    Vector f = x - (shifted - shift);
    Vector power = vector_all(coefficients[0]);
#pragma GCC unroll 16
    for (size_t i = 1; i < sizeof coefficients / sizeof *coefficients; i++)
        power = power * f + coefficients[i];
    /* Far below `lowest` the exponent wraps around; those lanes are masked out. */
    VectorBits bits = (VectorBits)power + ((VectorBits)shifted << exponent_position);
    return (Vector)(bits & ~(VectorBits)(x < lowest));
}

#endif
