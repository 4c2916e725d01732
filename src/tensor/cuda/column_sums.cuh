/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over the rows of a matrix, column by column, always in the same order: rows are cut into
 * chunks, a block sums 32 columns of one, and then the chunks are added.
 */
#ifndef PAL_TENSOR_CUDA_COLUMN_SUMS_CUH
#define PAL_TENSOR_CUDA_COLUMN_SUMS_CUH

#include "src/tensor/cuda/numbers.cuh"

constexpr int COLUMN_WARPS = 8, MOST_CHUNKS = 64;

static inline int column_chunks(int64_t rows)
{
    int64_t chunks = (rows + 63) / 64;
    return static_cast<int>(chunks < MOST_CHUNKS ? chunks : MOST_CHUNKS);
}

/* Scratch for the sums of SUMS quantities. */
static inline size_t column_sums_numbers(int64_t rows, int64_t columns, int sums)
{
    return checked_size(static_cast<int64_t>(column_chunks(rows)) * columns * sums);
}

/* partial (chunks, SUMS, columns). `add(sums, row, column)` adds what stands there. */
template <int SUMS, typename Add>
static __global__ void sum_chunks(float *partial, int64_t rows, int64_t columns, Add add)
{
    float *shared = shared_memory<float>();
    int warp = static_cast<int>(threadIdx.x) / WARP, lane = static_cast<int>(threadIdx.x) % WARP;
    int64_t column = static_cast<int64_t>(blockIdx.x) * WARP + lane;
    int64_t begin = rows * blockIdx.y / gridDim.y, end = rows * (blockIdx.y + 1) / gridDim.y;
    float sums[SUMS] = {};
    if (column < columns)
        for (int64_t row = begin + warp; row < end; row += COLUMN_WARPS) add(sums, row, column);
    for (int s = 0; s < SUMS; s++) shared[(s * COLUMN_WARPS + warp) * WARP + lane] = sums[s];
    __syncthreads();
    if (warp >= SUMS || column >= columns) return;
    float sum = 0;
    for (int w = 0; w < COLUMN_WARPS; w++) sum += shared[(warp * COLUMN_WARPS + w) * WARP + lane];
    partial[(static_cast<int64_t>(blockIdx.y) * SUMS + warp) * columns + column] = sum;
}

/* to[s][column] += the sum over all chunks */
template <int SUMS> struct ColumnTargets {
    float *to[SUMS];
};

template <int SUMS>
static __global__ void add_chunks(ColumnTargets<SUMS> targets, const float *partial, int chunks,
                                  int64_t columns)
{
    for (int64_t i = first_element(); i < SUMS * columns; i += element_stride()) {
        float sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * SUMS * columns + i];
#pragma unroll
        for (int s = 0; s < SUMS; s++)
            if (i / columns == s) targets.to[s][i % columns] += sum;
    }
}

/* to[s][column] += the sum over all rows of what `add` adds to sums[s]; `partial` has room for
 * column_sums_numbers. */
template <int SUMS, typename Add>
void add_sums_of_columns(Device *device, ColumnTargets<SUMS> targets, int64_t rows, int64_t columns,
                         Add add, float *partial)
{
    static_assert(SUMS <= COLUMN_WARPS, "a warp finishes each sum");
    if (rows == 0 || columns == 0) return;
    int chunks = column_chunks(rows);
    launch(device, sum_chunks<SUMS, Add>,
           dim3(blocks_for(columns, WARP), static_cast<unsigned>(chunks)), COLUMN_WARPS * WARP,
           SUMS * COLUMN_WARPS * WARP * sizeof(float), partial, rows, columns, add);
    launch(device, add_chunks<SUMS>, blocks_for_elements(SUMS * columns), BLOCK, 0, targets,
           partial, chunks, columns);
}

/* Adds up the rows of a matrix itself. */
template <typename T> struct MatrixColumn {
    const T *x;
    int64_t columns;
    __device__ void operator()(float (&sums)[1], int64_t row, int64_t column) const
    {
        sums[0] += to_float(x[row * columns + column]);
    }
};

#endif
