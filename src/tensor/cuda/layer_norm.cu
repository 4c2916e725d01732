/* SPDX-License-Identifier: Apache-2.0
 *
 * A warp has a row, which it finds in the caches when it reads it again.
 */
#include "src/tensor/cuda/block_sums.cuh"
#include "src/tensor/cuda/column_sums.cuh"
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"

constexpr double EPSILON = 1e-5;
constexpr int ROWS_OF_BLOCK = BLOCK / WARP;

static __global__ void layer_norm_forward(float *y, float *mean, float *rstd, const float *x,
                                          const float *scale, const float *shift, int64_t rows,
                                          int64_t width)
{
    int lane = static_cast<int>(threadIdx.x) % WARP;
    int64_t row = static_cast<int64_t>(blockIdx.x) * ROWS_OF_BLOCK + threadIdx.x / WARP;
    if (row >= rows) return; /* the whole warp */
    x += row * width;
    y += row * width;

    float sum = 0, squares = 0;
    for (int64_t j = lane; j < width; j += WARP) sum += x[j];
    float center = warp_join<Adds>(sum) / static_cast<float>(width);
    /* A second pass, since the one-pass formula would cancel. */
    for (int64_t j = lane; j < width; j += WARP) squares += (x[j] - center) * (x[j] - center);
    float variance = warp_join<Adds>(squares) / static_cast<float>(width);
    float inverse = static_cast<float>(1.0 / sqrt(static_cast<double>(variance) + EPSILON));
    for (int64_t j = lane; j < width; j += WARP)
        y[j] = (x[j] - center) * inverse * scale[j] + shift[j];
    if (lane == 0) {
        mean[row] = center;
        rstd[row] = inverse;
    }
}

/* With z = (x - mean) rstd (the normalised input), forward was y = z scale + shift:
 *   dx += rstd (dz - mean(dz) - z mean(dz z)),   dz = dy scale */
static __global__ void layer_norm_backward(float *dx, const float *mean, const float *rstd,
                                           const float *dy, const float *x, const float *scale,
                                           int64_t rows, int64_t width)
{
    int lane = static_cast<int>(threadIdx.x) % WARP;
    int64_t row = static_cast<int64_t>(blockIdx.x) * ROWS_OF_BLOCK + threadIdx.x / WARP;
    if (row >= rows) return; /* the whole warp */
    x += row * width;
    dx += row * width;
    dy += row * width;

    float center = mean[row], inverse = rstd[row], sum_dz = 0, sum_dz_z = 0;
    for (int64_t j = lane; j < width; j += WARP) {
        float dz = dy[j] * scale[j];
        sum_dz += dz;
        sum_dz_z += dz * (x[j] - center) * inverse;
    }
    float mean_dz = warp_join<Adds>(sum_dz) / static_cast<float>(width);
    float mean_dz_z = warp_join<Adds>(sum_dz_z) / static_cast<float>(width);
    for (int64_t j = lane; j < width; j += WARP) {
        float z = (x[j] - center) * inverse;
        dx[j] += inverse * (dy[j] * scale[j] - mean_dz - z * mean_dz_z);
    }
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

void cuda_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                             Tensor scale, Tensor shift)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], width = x.dims[1];
    PAL_ASSERT(tensor_count(y) == rows * width);
    PAL_ASSERT(tensor_count(mean) == rows && tensor_count(rstd) == rows);
    PAL_ASSERT(tensor_count(scale) == width && tensor_count(shift) == width);
    launch(device, layer_norm_forward, blocks_for(rows, ROWS_OF_BLOCK), BLOCK, 0, y.data, mean.data,
           rstd.data, x.data, scale.data, shift.data, rows, width);
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
    launch(device, layer_norm_backward, blocks_for(rows, ROWS_OF_BLOCK), BLOCK, 0, dx.data,
           mean.data, rstd.data, dy.data, x.data, scale.data, rows, width);
    size_t bytes = column_sums_numbers(rows, width, 2) * sizeof(float);
    add_sums_of_columns<2>(device, {{dscale.data, dshift.data}}, rows, width,
                           NormColumn{dy.data, x.data, mean.data, rstd.data, width},
                           static_cast<float *>(cuda_workspace(device, bytes)));
}
