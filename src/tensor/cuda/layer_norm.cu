/* SPDX-License-Identifier: Apache-2.0
 *
 * A warp has a row, or a whole block where the row is wide, and keeps it in registers: it is read
 * once. Only what is wider than a block can hold is read again.
 */
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/column_sums.cuh"
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/vector.cuh"

constexpr double EPSILON = 1e-5;

/* --- who has a row ---------------------------------------------------------------------------- */

struct WarpOfRow {
    static constexpr int THREADS = WARP, ROWS_OF_BLOCK = BLOCK / WARP;
    static constexpr size_t SHARED_BYTES = 0;
    static __device__ float sum(float x) { return warp_join<Adds>(x); }
};

struct BlockOfRow {
    static constexpr int THREADS = BLOCK, ROWS_OF_BLOCK = 1;
    static constexpr size_t SHARED_BYTES = BLOCK / WARP * sizeof(float);
    static __device__ float sum(float x) { return block_join<Adds>(x, shared_memory<float>()); }
};

/* Each thread has PIECES times N neighbouring numbers; PIECES = 0: as many as there are, which are
 * not kept. */
template <typename Group, int N_, int PIECES_> struct RowShape : Group {
    static constexpr int N = N_, PIECES = PIECES_;
    static __device__ int rank() { return static_cast<int>(threadIdx.x) % Group::THREADS; }
    static __device__ int64_t row()
    {
        return static_cast<int64_t>(blockIdx.x) * Group::ROWS_OF_BLOCK +
               static_cast<int>(threadIdx.x) / Group::THREADS;
    }
    static __device__ int64_t column(int piece)
    {
        return (static_cast<int64_t>(piece) * Group::THREADS + rank()) * N;
    }
};

/* f(piece, column) for all pieces of a thread. */
template <typename Shape, typename F>
static __device__ __forceinline__ void for_pieces(int64_t width, F f)
{
    if constexpr (Shape::PIECES > 0) {
#pragma unroll
        for (int piece = 0; piece < Shape::PIECES; piece++)
            if (Shape::column(piece) < width) f(piece, Shape::column(piece));
    } else {
        for (int piece = 0; Shape::column(piece) < width; piece++) f(piece, Shape::column(piece));
    }
}

/* A thread's part of a row. */
template <typename Shape> struct RowPart {
    const float *row;
    Vector<Shape::N> kept[Shape::PIECES > 0 ? Shape::PIECES : 1] = {}; /* also behind the row */

    __device__ __forceinline__ RowPart(const float *row_, int64_t width) : row(row_)
    {
        if constexpr (Shape::PIECES > 0)
            for_pieces<Shape>(width, [&](int piece, int64_t column) {
                kept[piece] = read_vector<Shape::N>(row + column);
            });
    }

    __device__ __forceinline__ Vector<Shape::N> at(int piece, int64_t column) const
    {
        if constexpr (Shape::PIECES > 0)
            return kept[piece];
        else
            return read_vector<Shape::N>(row + column);
    }
};

/* --- forward ---------------------------------------------------------------------------------- */

template <typename T> struct Forward {
    T *y;
    float *mean, *rstd;
    const float *x, *scale, *shift;
    int64_t rows, width;
};

template <typename Shape, typename T>
static __global__ void layer_norm_forward(const Forward<T> call)
{
    constexpr int N = Shape::N;
    int64_t row = Shape::row(), width = call.width;
    if (row >= call.rows) return; /* the whole warp */
    RowPart<Shape> x(call.x + row * width, width);
    T *y = call.y + row * width;

    float sum = 0, squares = 0;
    for_pieces<Shape>(width, [&](int piece, int64_t column) {
        Vector<N> value = x.at(piece, column);
        for (int i = 0; i < N; i++) sum += value.v[i];
    });
    float center = Shape::sum(sum) / static_cast<float>(width);
    /* A second pass, since the one-pass formula would cancel. */
    for_pieces<Shape>(width, [&](int piece, int64_t column) {
        Vector<N> value = x.at(piece, column);
        for (int i = 0; i < N; i++) squares += (value.v[i] - center) * (value.v[i] - center);
    });
    float variance = Shape::sum(squares) / static_cast<float>(width);
    float inverse = static_cast<float>(1.0 / sqrt(static_cast<double>(variance) + EPSILON));
    for_pieces<Shape>(width, [&](int piece, int64_t column) {
        Vector<N> value = x.at(piece, column), scale = read_vector<N>(call.scale + column),
                  shift = read_vector<N>(call.shift + column);
        for (int i = 0; i < N; i++)
            value.v[i] = (value.v[i] - center) * inverse * scale.v[i] + shift.v[i];
        write_vector<N>(y + column, value);
    });
    if (Shape::rank() == 0) {
        call.mean[row] = center;
        call.rstd[row] = inverse;
    }
}

/* --- backward --------------------------------------------------------------------------------- */

struct Backward {
    float *dx;
    const float *mean, *rstd, *dy, *x, *scale;
    int64_t rows, width;
};

/* With z = (x - mean) rstd (the normalised input), forward was y = z scale + shift:
 *   dx += rstd (dz - mean(dz) - z mean(dz z)),   dz = dy scale */
template <typename Shape> static __global__ void layer_norm_backward(const Backward call)
{
    constexpr int N = Shape::N;
    int64_t row = Shape::row(), width = call.width;
    if (row >= call.rows) return; /* the whole warp */
    RowPart<Shape> x(call.x + row * width, width), dy(call.dy + row * width, width);
    float *dx = call.dx + row * width;

    float center = call.mean[row], inverse = call.rstd[row], sum_dz = 0, sum_dz_z = 0;
    for_pieces<Shape>(width, [&](int piece, int64_t column) {
        Vector<N> value = x.at(piece, column), gradient = dy.at(piece, column),
                  scale = read_vector<N>(call.scale + column);
        for (int i = 0; i < N; i++) {
            float dz = gradient.v[i] * scale.v[i];
            sum_dz += dz;
            sum_dz_z += dz * (value.v[i] - center) * inverse;
        }
    });
    float mean_dz = Shape::sum(sum_dz) / static_cast<float>(width);
    float mean_dz_z = Shape::sum(sum_dz_z) / static_cast<float>(width);
    for_pieces<Shape>(width, [&](int piece, int64_t column) {
        Vector<N> value = x.at(piece, column), gradient = dy.at(piece, column),
                  scale = read_vector<N>(call.scale + column), result = read_vector<N>(dx + column);
        for (int i = 0; i < N; i++) {
            float z = (value.v[i] - center) * inverse;
            result.v[i] += inverse * (gradient.v[i] * scale.v[i] - mean_dz - z * mean_dz_z);
        }
        write_vector<N>(dx + column, result);
    });
}

/* dscale += dy z,   dshift += dy */
struct NormColumn {
    const float *dy, *x, *mean, *rstd;
    int64_t width;

    __device__ void operator()(float (&sums)[2], int64_t row, int64_t column) const
    {
        float gradient = dy[row * width + column];
        sums[0] += gradient * (x[row * width + column] - mean[row]) * rstd[row];
        sums[1] += gradient;
    }
};

/* --- launches --------------------------------------------------------------------------------- */

template <typename Shape, typename T> static void begin(Device *device, const Forward<T> &call)
{
    launch(device, layer_norm_forward<Shape, T>, blocks_for(call.rows, Shape::ROWS_OF_BLOCK), BLOCK,
           Shape::SHARED_BYTES, call);
}

template <typename Shape> static void begin(Device *device, const Backward &call)
{
    launch(device, layer_norm_backward<Shape>, blocks_for(call.rows, Shape::ROWS_OF_BLOCK), BLOCK,
           Shape::SHARED_BYTES, call);
}

/* N numbers at a time; of 32 that a thread keeps none goes to memory yet. */
template <int N, typename Call> static void begin_by_width(Device *device, const Call &call)
{
    if (call.width <= 4 * WARP)
        begin<RowShape<WarpOfRow, N, 4 / N>>(device, call);
    else if (call.width <= 16 * WARP)
        begin<RowShape<WarpOfRow, N, 16 / N>>(device, call);
    else if (call.width <= 32 * WARP)
        begin<RowShape<WarpOfRow, N, 32 / N>>(device, call);
    else if (call.width <= 32 * BLOCK)
        begin<RowShape<BlockOfRow, N, 32 / N>>(device, call);
    else
        begin<RowShape<BlockOfRow, N, 0>>(device, call);
}

void cuda_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                             Tensor scale, Tensor shift)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], width = x.dims[1];
    PAL_ASSERT(tensor_count(y) == rows * width);
    PAL_ASSERT(tensor_count(mean) == rows && tensor_count(rstd) == rows);
    PAL_ASSERT(tensor_count(scale) == width && tensor_count(shift) == width);
    for_type(y.type, [&]<typename T>() {
        Forward<T> call = {numbers_of<T>(y),
                           tensor_reals(mean),
                           tensor_reals(rstd),
                           tensor_reals(x),
                           tensor_reals(scale),
                           tensor_reals(shift),
                           rows,
                           width};
        if (width % 4 == 0 && is_aligned(call.y) && is_aligned(call.x) && is_aligned(call.scale) &&
            is_aligned(call.shift))
            begin_by_width<4>(device, call);
        else
            begin_by_width<1>(device, call);
    });
}

void cuda_layer_norm_backward(Device *device, Tensor dx, Tensor dscale, Tensor dshift, Tensor mean,
                              Tensor rstd, Tensor dy, Tensor x, Tensor scale)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], width = x.dims[1];
    PAL_ASSERT(tensor_count(dx) == rows * width && tensor_count(dy) == rows * width);
    PAL_ASSERT(tensor_count(mean) == rows && tensor_count(rstd) == rows);
    PAL_ASSERT(tensor_count(scale) == width);
    PAL_ASSERT(tensor_count(dscale) == width && tensor_count(dshift) == width);
    if (rows == 0 || width == 0) return;
    Backward call = {tensor_reals(dx),
                     tensor_reals(mean),
                     tensor_reals(rstd),
                     tensor_reals(dy),
                     tensor_reals(x),
                     tensor_reals(scale),
                     rows,
                     width};
    if (width % 4 == 0 && is_aligned(call.dx) && is_aligned(call.x) && is_aligned(call.dy) &&
        is_aligned(call.scale))
        begin_by_width<4>(device, call);
    else
        begin_by_width<1>(device, call);
    size_t bytes = column_sums_numbers(rows, width, 2) * sizeof(float);
    add_sums_of_columns<2>(device, {{tensor_reals(dscale), tensor_reals(dshift)}}, rows, width,
                           NormColumn{call.dy, call.x, call.mean, call.rstd, width},
                           static_cast<float *>(cuda_workspace(device, bytes)));
}
