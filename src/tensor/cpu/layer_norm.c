/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/cpu/context.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

static const double epsilon = 1e-5;

static Real row_mean(int64_t n, const Real *x)
{
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += x[j];
    return sum / (Real)n;
}

/* Second pass over a row that is still in the first-level cache: the one-pass formula would
 * cancel. */
static Real row_variance(int64_t n, const Real *x, Real mean)
{
    Real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += (x[j] - mean) * (x[j] - mean);
    return sum / (Real)n;
}

static void forward_row(int64_t n, Real *restrict y, Real mean, Real rstd, const Real *restrict x,
                        const Real *restrict scale, const Real *restrict shift)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y[j] = (x[j] - mean) * rstd * scale[j] + shift[j];
}

void cpu_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                            Tensor scale, Tensor shift)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], n = x.dims[1];
    PAL_ASSERT(tensor_count(y) == rows * n);
    PAL_ASSERT(tensor_count(mean) == rows && tensor_count(rstd) == rows);
    PAL_ASSERT(tensor_count(scale) == n && tensor_count(shift) == n);

    int parts = cpu_parts(device, rows * n);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            const Real *row = tensor_reals(x) + i * n;
            Real center = row_mean(n, row);
            Real variance = row_variance(n, row, center);
            Real inverse = (Real)(1.0 / sqrt((double)variance + epsilon));
            tensor_reals(mean)[i] = center;
            tensor_reals(rstd)[i] = inverse;
            forward_row(n, tensor_reals(y) + i * n, center, inverse, row, tensor_reals(scale),
                        tensor_reals(shift));
        }
    }
}

/* One row. With z = (x - mean) rstd (the normalised input), forward was y = z scale + shift:
 *   dscale += dy z,   dshift += dy,
 *   dx += rstd (dz - mean(dz) - z mean(dz z)),   dz = dy scale */
static void backward_row(int64_t n, Real *restrict dx, Real *restrict dscale, Real *restrict dshift,
                         Real mean, Real rstd, const Real *restrict dy, const Real *restrict x,
                         const Real *restrict scale)
{
    Real sum_dz = 0, sum_dz_z = 0;
#pragma omp simd reduction(+ : sum_dz, sum_dz_z)
    for (int64_t j = 0; j < n; j++) {
        Real z = (x[j] - mean) * rstd;
        Real dz = dy[j] * scale[j];
        sum_dz += dz;
        sum_dz_z += dz * z;
        dscale[j] += dy[j] * z;
        dshift[j] += dy[j];
    }

    Real mean_dz = sum_dz / (Real)n, mean_dz_z = sum_dz_z / (Real)n;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        Real z = (x[j] - mean) * rstd;
        dx[j] += rstd * (dy[j] * scale[j] - mean_dz - z * mean_dz_z);
    }
}

void cpu_layer_norm_backward(Device *device, Tensor dx, Tensor dscale, Tensor dshift, Tensor mean,
                             Tensor rstd, Tensor dy, Tensor x, Tensor scale)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], n = x.dims[1];
    PAL_ASSERT(tensor_count(dx) == rows * n && tensor_count(dy) == rows * n);
    PAL_ASSERT(tensor_count(mean) == rows && tensor_count(rstd) == rows);
    PAL_ASSERT(tensor_count(scale) == n && tensor_count(dscale) == n && tensor_count(dshift) == n);
    if (rows == 0 || n == 0) return;

    /* dscale and dshift of each part, on cache lines of their own */
    int parts = cpu_parts(device, rows * n);
    int64_t stride = (n + PAL_LINE_NUMBERS - 1) / PAL_LINE_NUMBERS * PAL_LINE_NUMBERS;
    Real *partial =
        cpu_scratch(device, CPU_WORKSPACE, checked_size(2 * stride * parts) * sizeof(Real));
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        Real *part_dscale = partial + 2 * stride * part, *part_dshift = part_dscale + stride;
        memset(part_dscale, 0, checked_size(2 * stride) * sizeof(Real));
        for (int64_t i = range.begin; i < range.end; i++)
            backward_row(n, tensor_reals(dx) + i * n, part_dscale, part_dshift,
                         tensor_reals(mean)[i], tensor_reals(rstd)[i], tensor_reals(dy) + i * n,
                         tensor_reals(x) + i * n, tensor_reals(scale));
    }

    for (int part = 0; part < parts; part++) {
        const Real *part_dscale = partial + 2 * stride * part, *part_dshift = part_dscale + stride;
        Real *all_dscale = tensor_reals(dscale), *all_dshift = tensor_reals(dshift);
        for (int64_t j = 0; j < n; j++) {
            all_dscale[j] += part_dscale[j];
            all_dshift[j] += part_dshift[j];
        }
    }
}
