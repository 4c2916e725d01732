/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

/* Rows per group, from (B,T/c,D) and (B,T,D). Groups never cross a block of T rows, so both tensors
 * can be read as B T/c groups. */
static int64_t group_size(Tensor y, Tensor x)
{
    PAL_ASSERT(x.num_dims == 3 && y.num_dims == 3);
    PAL_ASSERT(x.dims[0] == y.dims[0] && x.dims[2] == y.dims[2]);
    PAL_ASSERT(y.dims[1] > 0 && x.dims[1] % y.dims[1] == 0);
    return x.dims[1] / y.dims[1];
}

void cpu_pool_mean(Device *device, Tensor y, Tensor x)
{
    if (tensor_count(y) == 0) return;
    int64_t rate = group_size(y, x), groups = y.dims[0] * y.dims[1], width = y.dims[2];
    Real factor = (Real)(1.0 / (double)rate);
    int parts = cpu_parts(device, rate * groups * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(groups, part, parts);
        for (int64_t g = range.begin; g < range.end; g++) {
            Real *restrict mean = tensor_reals(y) + g * width;
            const Real *restrict rows = tensor_reals(x) + g * rate * width;
            memcpy(mean, rows, checked_size(width) * sizeof(Real));
            for (int64_t r = 1; r < rate; r++) {
#pragma omp simd
                for (int64_t j = 0; j < width; j++) mean[j] += rows[r * width + j];
            }
#pragma omp simd
            for (int64_t j = 0; j < width; j++) mean[j] *= factor;
        }
    }
}

void cpu_pool_max(Device *device, Tensor y, Tensor x)
{
    if (tensor_count(y) == 0) return;
    int64_t rate = group_size(y, x), groups = y.dims[0] * y.dims[1], width = y.dims[2];
    int parts = cpu_parts(device, rate * groups * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(groups, part, parts);
        for (int64_t g = range.begin; g < range.end; g++) {
            Real *restrict highest = tensor_reals(y) + g * width;
            const Real *restrict rows = tensor_reals(x) + g * rate * width;
            memcpy(highest, rows, checked_size(width) * sizeof(Real));
            for (int64_t r = 1; r < rate; r++) {
#pragma omp simd
                for (int64_t j = 0; j < width; j++) {
                    Real value = rows[r * width + j];
                    highest[j] = value > highest[j] ? value : highest[j];
                }
            }
        }
    }
}

void cpu_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance)
{
    PAL_ASSERT(x.num_dims == 3 && distance >= 0);
    int64_t length = x.dims[1], width = x.dims[2], rows = x.dims[0] * length;
    PAL_ASSERT(tensor_count(y) == 2 * rows * width);
    size_t bytes = checked_size(width) * sizeof(Real);
    int parts = cpu_parts(device, 2 * rows * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            Real *earlier = tensor_reals(y) + 2 * i * width;
            const Real *row = tensor_reals(x) + i * width;
            if (i % length >= distance)
                memcpy(earlier, row - distance * width, bytes);
            else
                memset(earlier, 0, bytes);
            memcpy(earlier + width, row, bytes);
        }
    }
}

static void add_row(int64_t width, Real *restrict to, const Real *restrict from)
{
#pragma omp simd
    for (int64_t j = 0; j < width; j++) to[j] += from[j];
}

/* x[b,t] went into the second half of y[b,t] and the first half of y[b,t+distance]. */
void cpu_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance)
{
    PAL_ASSERT(dx.num_dims == 3 && distance >= 0);
    int64_t length = dx.dims[1], width = dx.dims[2], rows = dx.dims[0] * length;
    PAL_ASSERT(tensor_count(dy) == 2 * rows * width);
    int parts = cpu_parts(device, 2 * rows * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            Real *row = tensor_reals(dx) + i * width;
            add_row(width, row, tensor_reals(dy) + (2 * i + 1) * width);
            if (i % length + distance < length)
                add_row(width, row, tensor_reals(dy) + 2 * (i + distance) * width);
        }
    }
}

void cpu_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen)
{
    PAL_ASSERT(x.num_dims == 3 && y.num_dims == 3);
    PAL_ASSERT(x.dims[0] == y.dims[0] && x.dims[2] == y.dims[2]);
    int64_t per_block = y.dims[1], width = y.dims[2], rows = y.dims[0] * per_block;
    size_t bytes = checked_size(width) * sizeof(Real);
    int parts = cpu_parts(device, rows * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            PAL_ASSERT(chosen[i] >= 0 && chosen[i] < x.dims[1]);
            const Real *row = tensor_reals(x) + (i / per_block * x.dims[1] + chosen[i]) * width;
            memcpy(tensor_reals(y) + i * width, row, bytes);
        }
    }
}
