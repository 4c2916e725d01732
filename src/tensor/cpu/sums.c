/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/cpu/context.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

static void add_rows(int64_t rows, int64_t n, Real *restrict sums, const Real *restrict x)
{
    for (int64_t i = 0; i < rows; i++) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) sums[j] += x[i * n + j];
    }
}

void cpu_add_column_sums(Device *device, Tensor bias, Tensor x)
{
    x = tensor_as_matrix(x);
    int64_t rows = x.dims[0], n = x.dims[1];
    PAL_ASSERT(tensor_count(bias) == n);
    if (rows == 0 || n == 0) return;

    /* The sums of each part, on cache lines of their own */
    int parts = cpu_parts(device, rows * n);
    int64_t stride = (n + PAL_LINE_NUMBERS - 1) / PAL_LINE_NUMBERS * PAL_LINE_NUMBERS;
    Real *partial = cpu_scratch(device, CPU_WORKSPACE, checked_size(stride * parts) * sizeof(Real));
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        Real *sums = partial + stride * part;
        memset(sums, 0, checked_size(n) * sizeof(Real));
        add_rows(range.end - range.begin, n, sums, tensor_reals(x) + range.begin * n);
    }
    for (int part = 0; part < parts; part++)
        add_rows(1, n, tensor_reals(bias), partial + stride * part);
}

/* The total of `parts` doubles of the workspace, in order. */
static double total(const double *partial, int parts)
{
    double sum = 0;
    for (int part = 0; part < parts; part++) sum += partial[part];
    return sum;
}

static double *partial_sums(Device *device, int parts)
{
    return cpu_scratch(device, CPU_WORKSPACE, checked_size(parts) * sizeof(double));
}

double cpu_sum(Device *device, Tensor x)
{
    int64_t count = tensor_count(x);
    const Real *numbers = tensor_reals(x);
    int parts = cpu_parts(device, count);
    double *partial = partial_sums(device, parts);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = range.begin; i < range.end; i++) sum += (double)numbers[i];
        partial[part] = sum;
    }
    return total(partial, parts);
}

double cpu_sum_of_squares(Device *device, Tensor x)
{
    int64_t count = tensor_count(x);
    const Real *numbers = tensor_reals(x);
    int parts = cpu_parts(device, count);
    double *partial = partial_sums(device, parts);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = range.begin; i < range.end; i++)
            sum += (double)numbers[i] * (double)numbers[i];
        partial[part] = sum;
    }
    return total(partial, parts);
}

static double squared_error_row(int64_t n, const Real *y, const Real *target)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        double error = (double)y[j] - (double)target[j];
        sum += error * error;
    }
    return sum;
}

/* dy may be y: each number is read before it is written. */
static void squared_error_gradient(int64_t n, Real *dy, const Real *y, const Real *target,
                                   bool counted)
{
    if (!counted) {
        memset(dy, 0, checked_size(n) * sizeof(Real));
        return;
    }
#pragma omp simd
    for (int64_t j = 0; j < n; j++) dy[j] = 2 * (y[j] - target[j]);
}

double cpu_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask)
{
    y = tensor_as_matrix(y);
    int64_t rows = y.dims[0], n = y.dims[1];
    PAL_ASSERT(tensor_count(target) == rows * n);
    PAL_ASSERT(!tensor_exists(dy) || tensor_count(dy) == rows * n);

    int parts = cpu_parts(device, rows * n);
    double *partial = partial_sums(device, parts);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        double sum = 0;
        for (int64_t i = range.begin; i < range.end; i++) {
            const Real *row = tensor_reals(y) + i * n, *wanted = tensor_reals(target) + i * n;
            if (mask[i]) sum += squared_error_row(n, row, wanted);
            if (tensor_exists(dy))
                squared_error_gradient(n, tensor_reals(dy) + i * n, row, wanted, mask[i]);
        }
        partial[part] = sum;
    }
    return total(partial, parts);
}
