/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"

/* Operations over rows of `width` numbers: an element, or four that stand in one row. */
template <typename T> static bool rows_of_fours(int64_t width, const T *a, const T *b)
{
    return width % 4 == 0 && is_aligned(a) && is_aligned(b);
}

static __device__ __forceinline__ float4 plus(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

static __device__ __forceinline__ float later_if_larger(float highest, float value)
{
    return value > highest ? value : highest;
}

/* --- pooling ---------------------------------------------------------------------------------- */

/* Groups never cross a block of T rows, so both tensors can be read as B T/c groups. */
static int64_t group_size(Tensor y, Tensor x)
{
    PAL_ASSERT(x.num_dims == 3 && y.num_dims == 3);
    PAL_ASSERT(x.dims[0] == y.dims[0] && x.dims[2] == y.dims[2]);
    PAL_ASSERT(y.dims[1] > 0 && x.dims[1] % y.dims[1] == 0);
    return x.dims[1] / y.dims[1];
}

template <typename T> struct PoolMean {
    T *y;
    const T *x;
    int64_t rate, width;
    float factor;

    __device__ int64_t first(int64_t i) const { return i / width * rate * width + i % width; }

    __device__ void one(int64_t i) const
    {
        const T *row = x + first(i);
        float sum = to_float(row[0]);
        for (int64_t r = 1; r < rate; r++) sum += to_float(row[r * width]);
        y[i] = to_number<T>(sum * factor);
    }

    __device__ void four(int64_t i) const
    {
        const T *row = x + first(i);
        float4 sum = read4(row, 0);
        for (int64_t r = 1; r < rate; r++) sum = plus(sum, read4(row, r * width));
        write4(y, i, make_float4(sum.x * factor, sum.y * factor, sum.z * factor, sum.w * factor));
    }
};

template <typename T> struct PoolMax {
    T *y;
    const T *x;
    int64_t rate, width;

    __device__ int64_t first(int64_t i) const { return i / width * rate * width + i % width; }

    __device__ void one(int64_t i) const
    {
        const T *row = x + first(i);
        float highest = to_float(row[0]);
        for (int64_t r = 1; r < rate; r++)
            highest = later_if_larger(highest, to_float(row[r * width]));
        y[i] = to_number<T>(highest);
    }

    __device__ void four(int64_t i) const
    {
        const T *row = x + first(i);
        float4 highest = read4(row, 0);
        for (int64_t r = 1; r < rate; r++) {
            float4 value = read4(row, r * width);
            highest = make_float4(
                later_if_larger(highest.x, value.x), later_if_larger(highest.y, value.y),
                later_if_larger(highest.z, value.z), later_if_larger(highest.w, value.w));
        }
        write4(y, i, highest);
    }
};

void cuda_pool_mean(Device *device, Tensor y, Tensor x)
{
    if (tensor_count(y) == 0) return;
    int64_t rate = group_size(y, x), width = y.dims[2];
    for_type(y.type, [&]<typename T>() {
        PoolMean<T> pool = {numbers_of<T>(y), numbers_of<T>(x), rate, width,
                            static_cast<float>(1.0 / static_cast<double>(rate))};
        map(device, pool, tensor_count(y), rows_of_fours(width, pool.y, pool.x));
    });
}

void cuda_pool_max(Device *device, Tensor y, Tensor x)
{
    if (tensor_count(y) == 0) return;
    int64_t rate = group_size(y, x), width = y.dims[2];
    for_type(y.type, [&]<typename T>() {
        PoolMax<T> pool = {numbers_of<T>(y), numbers_of<T>(x), rate, width};
        map(device, pool, tensor_count(y), rows_of_fours(width, pool.y, pool.x));
    });
}

/* --- pairs of rows ---------------------------------------------------------------------------- */

/* Number i of y: row i / 2D, whose first half is an earlier row of x, or zeros before the block. */
template <typename T> struct PairWithEarlier {
    T *y;
    const T *x;
    int64_t length, width, distance;

    /* Where the number is in x; -1: nowhere. */
    __device__ int64_t source(int64_t i) const
    {
        int64_t row = i / (2 * width), column = i % (2 * width);
        if (column >= width) return row * width + column - width;
        return row % length >= distance ? (row - distance) * width + column : -1;
    }

    __device__ void one(int64_t i) const
    {
        int64_t from = source(i);
        y[i] = from >= 0 ? x[from] : to_number<T>(0.0f);
    }

    __device__ void four(int64_t i) const
    {
        int64_t from = source(i);
        write4(y, i, from >= 0 ? read4(x, from) : make_float4(0, 0, 0, 0));
    }
};

/* x[b,t] went into the second half of y[b,t] and the first half of y[b,t+distance]. */
template <typename T> struct PairWithEarlierGradient {
    T *dx;
    const T *dy;
    int64_t length, width, distance;

    __device__ int64_t own(int64_t row, int64_t column) const
    {
        return (2 * row + 1) * width + column;
    }
    __device__ int64_t later(int64_t row, int64_t column) const
    {
        return 2 * (row + distance) * width + column;
    }

    __device__ void one(int64_t i) const
    {
        int64_t row = i / width, column = i % width;
        float sum = to_float(dx[i]) + to_float(dy[own(row, column)]);
        if (row % length + distance < length) sum += to_float(dy[later(row, column)]);
        dx[i] = to_number<T>(sum);
    }

    __device__ void four(int64_t i) const
    {
        int64_t row = i / width, column = i % width;
        float4 sum = plus(read4(dx, i), read4(dy, own(row, column)));
        if (row % length + distance < length) sum = plus(sum, read4(dy, later(row, column)));
        write4(dx, i, sum);
    }
};

void cuda_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance)
{
    PAL_ASSERT(x.num_dims == 3 && distance >= 0);
    PAL_ASSERT(tensor_count(y) == 2 * tensor_count(x));
    for_type(y.type, [&]<typename T>() {
        PairWithEarlier<T> pair = {numbers_of<T>(y), numbers_of<T>(x), x.dims[1], x.dims[2],
                                   distance};
        map(device, pair, tensor_count(y), rows_of_fours(x.dims[2], pair.y, pair.x));
    });
}

void cuda_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance)
{
    PAL_ASSERT(dx.num_dims == 3 && distance >= 0);
    PAL_ASSERT(tensor_count(dy) == 2 * tensor_count(dx));
    for_type(dx.type, [&]<typename T>() {
        PairWithEarlierGradient<T> pair = {numbers_of<T>(dx), numbers_of<T>(dy), dx.dims[1],
                                           dx.dims[2], distance};
        map(device, pair, tensor_count(dx), rows_of_fours(dx.dims[2], pair.dx, pair.dy));
    });
}

/* --- chosen rows ------------------------------------------------------------------------------ */

template <typename T> struct SelectRows {
    T *y;
    const T *x;
    const int32_t *chosen;
    int64_t per_block, length, width;

    __device__ int64_t source(int64_t i) const
    {
        int64_t row = i / width;
        return (row / per_block * length + chosen[row]) * width + i % width;
    }
    __device__ void one(int64_t i) const { y[i] = x[source(i)]; }
    __device__ void four(int64_t i) const { write4(y, i, read4(x, source(i))); }
};

void cuda_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen)
{
    PAL_ASSERT(x.num_dims == 3 && y.num_dims == 3);
    PAL_ASSERT(x.dims[0] == y.dims[0] && x.dims[2] == y.dims[2]);
    int64_t rows = y.dims[0] * y.dims[1];
    for (int64_t i = 0; i < rows; i++) PAL_ASSERT(chosen[i] >= 0 && chosen[i] < x.dims[1]);
    const int32_t *sent = cuda_argument_array(device, chosen, rows);
    for_type(y.type, [&]<typename T>() {
        SelectRows<T> select = {numbers_of<T>(y), numbers_of<T>(x), sent,
                                y.dims[1],        x.dims[1],        y.dims[2]};
        map(device, select, tensor_count(y), rows_of_fours(y.dims[2], select.y, select.x));
    });
}
