/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel is one function, panel(), inlined for every number of rows and vectors so that the
 * sums stay in registers; per step of k it loads `vectors` vectors of b and broadcasts `rows`
 * numbers of a. With four rows and four to six vectors that is one load for two to two and a half
 * fused multiply-adds, so the loads never wait for each other, wherever b starts in its cache
 * line.
 */
#include "src/tensor/cpu/attention_tiles.h"

typedef void PanelFunction(Real *c, ptrdiff_t c_row, const Real *a, ptrdiff_t a_row,
                           ptrdiff_t a_column, const Real *b, ptrdiff_t b_row, int k,
                           bool accumulate);

static inline __attribute__((always_inline)) void panel(int rows, int vectors, Real *c,
                                                        ptrdiff_t c_row, const Real *a,
                                                        ptrdiff_t a_row, ptrdiff_t a_column,
                                                        const Real *b, ptrdiff_t b_row, int k,
                                                        bool accumulate)
{
    Vector sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (ptrdiff_t v = 0; v < vectors; v++)
            if (accumulate)
                sum[i][v] = vector_load(c + i * c_row + v * VECTOR_LANES);
            else
                sum[i][v] = (Vector){0};

    for (int p = 0; p < k; p++) {
        Vector row[TILE_VECTORS];
#pragma GCC unroll 8
        for (ptrdiff_t v = 0; v < vectors; v++) row[v] = vector_load(b + v * VECTOR_LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            Real x = a[i * a_row];
#pragma GCC unroll 8
            for (ptrdiff_t v = 0; v < vectors; v++) sum[i][v] += x * row[v];
        }
        a += a_column;
        b += b_row;
    }

#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (ptrdiff_t v = 0; v < vectors; v++)
            vector_store(c + i * c_row + v * VECTOR_LANES, sum[i][v]);
}

#define PAL_DEFINE_PANEL(rows, vectors)                                                            \
    static void panel_##rows##_##vectors(Real *c, ptrdiff_t c_row, const Real *a, ptrdiff_t a_row, \
                                         ptrdiff_t a_column, const Real *b, ptrdiff_t b_row,       \
                                         int k, bool accumulate)                                   \
    {                                                                                              \
        panel(rows, vectors, c, c_row, a, a_row, a_column, b, b_row, k, accumulate);               \
    }
#define PAL_DEFINE_PANELS(vectors) \
    PAL_DEFINE_PANEL(1, vectors)   \
    PAL_DEFINE_PANEL(2, vectors)   \
    PAL_DEFINE_PANEL(3, vectors)   \
    PAL_DEFINE_PANEL(4, vectors)
#define PAL_PANELS(vectors)                                                        \
    {                                                                              \
        panel_1_##vectors, panel_2_##vectors, panel_3_##vectors, panel_4_##vectors \
    }

PAL_DEFINE_PANELS(1)
PAL_DEFINE_PANELS(2)
#ifdef __AVX512F__
PAL_DEFINE_PANELS(3)
PAL_DEFINE_PANELS(4)
PAL_DEFINE_PANELS(5)
PAL_DEFINE_PANELS(6)
#endif

static PanelFunction *const panels[TILE_VECTORS][TILE_ROWS] = {
    PAL_PANELS(1), PAL_PANELS(2),
#ifdef __AVX512F__
    PAL_PANELS(3), PAL_PANELS(4), PAL_PANELS(5), PAL_PANELS(6),
#endif
};

/* Columns are cut into equal parts of at most TILE_VECTORS vectors: a narrow last part would not
 * have enough independent sums to hide the latency of the multiply-adds. A part of b stays in the
 * first-level cache for all rows. */
typedef struct ColumnParts {
    int vectors, parts;
} ColumnParts;

static ColumnParts column_parts(int n)
{
    int vectors = (n + VECTOR_LANES - 1) / VECTOR_LANES;
    return (ColumnParts){vectors, (vectors + TILE_VECTORS - 1) / TILE_VECTORS};
}

static int part_begin(ColumnParts cut, int part) { return part * cut.vectors / cut.parts; }

void tile_product(TileProduct p)
{
    ColumnParts cut = column_parts(p.n);
    for (int part = 0; part < cut.parts; part++) {
        int begin = part_begin(cut, part), vectors = part_begin(cut, part + 1) - begin;
        ptrdiff_t column = (ptrdiff_t)begin * VECTOR_LANES;
        for (int i = 0; i < p.m; i += TILE_ROWS) {
            int rows = smaller(TILE_ROWS, p.m - i);
            panels[vectors - 1][rows - 1](p.c + i * p.c_row + column, p.c_row, p.a + i * p.a_row,
                                          p.a_row, p.a_column, p.b + column, p.b_row, p.k,
                                          p.accumulate);
        }
    }
}

/* A panel of rows i .. i+rows-1 multiplies the same columns x = j - i of b for all its rows;
 * stepping one number further per row of c puts each result where it belongs. To fill column 0 of
 * its last row and column n-1 of its first, a panel computes rows - 1 columns more than n. */
void tile_product_skewed(TileProduct p)
{
    ColumnParts cut = column_parts(p.n + TILE_ROWS - 1);
    for (int part = 0; part < cut.parts; part++) {
        int begin = part_begin(cut, part), vectors = part_begin(cut, part + 1) - begin;
        for (int i = 0; i < p.m; i += TILE_ROWS) {
            int rows = smaller(TILE_ROWS, p.m - i);
            ptrdiff_t column = (ptrdiff_t)begin * VECTOR_LANES - (rows - 1);
            panels[vectors - 1][rows - 1](p.c + i * p.c_row + column, p.c_row + 1,
                                          p.a + i * p.a_row, p.a_row, p.a_column, p.b + column - i,
                                          p.b_row, p.k, false);
        }
    }
}

/* Lane l is lane from[l] of (x, y). */
static inline Vector pick(Vector x, Vector y, VectorMask from)
{
#ifdef __clang__ /* has no shuffle by a vector, but makes one of this where `from` is known */
    Vector picked = x;
    for (int l = 0; l < VECTOR_LANES; l++)
        picked[l] = from[l] < VECTOR_LANES ? x[from[l]] : y[from[l] - VECTOR_LANES];
    return picked;
#else
    return __builtin_shuffle(x, y, from);
#endif
}

/* y = x^T of one square of vectors. Interleaving row r with row r + half, for all r < half, moves
 * the highest bit of the row number to the lowest bit of the column number; after log2(lanes)
 * rounds rows and columns have changed places. */
static void transpose_square(Real *y, ptrdiff_t y_row, const Real *x, ptrdiff_t x_row)
{
    enum { HALF = VECTOR_LANES / 2 };
    VectorMask low, high;
    for (int i = 0; i < HALF; i++) {
        low[2 * i] = i;
        low[2 * i + 1] = VECTOR_LANES + i;
        high[2 * i] = HALF + i;
        high[2 * i + 1] = VECTOR_LANES + HALF + i;
    }

    Vector rows[VECTOR_LANES], mixed[VECTOR_LANES];
    for (int i = 0; i < VECTOR_LANES; i++) rows[i] = vector_load(x + i * x_row);
    for (int round = 1; round < VECTOR_LANES; round *= 2) {
#pragma GCC unroll 8
        for (ptrdiff_t i = 0; i < HALF; i++) {
            mixed[2 * i] = pick(rows[i], rows[i + HALF], low);
            mixed[2 * i + 1] = pick(rows[i], rows[i + HALF], high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VECTOR_LANES; i++) rows[i] = mixed[i];
    }
    for (int i = 0; i < VECTOR_LANES; i++) vector_store(y + i * y_row, rows[i]);
}

void tile_transpose(Real *y, ptrdiff_t y_row, const Real *x, ptrdiff_t x_row, int m, int n)
{
    for (int i = 0; i < m; i += VECTOR_LANES)
        for (int j = 0; j < n; j += VECTOR_LANES) {
            const Real *from = x + i * x_row + j;
            Real *to = y + j * y_row + i;
            if (i + VECTOR_LANES <= m && j + VECTOR_LANES <= n) {
                transpose_square(to, y_row, from, x_row);
                continue;
            }
            for (int p = 0; p < smaller(VECTOR_LANES, m - i); p++)
                for (int q = 0; q < smaller(VECTOR_LANES, n - j); q++)
                    to[q * y_row + p] = from[p * x_row + q];
        }
}
