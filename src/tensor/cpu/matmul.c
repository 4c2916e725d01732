/* SPDX-License-Identifier: Apache-2.0
 *
 * The product itself is in product_dnnl.c. Bias and relu are one more pass over c: measured, that
 * costs less than what oneDNN's fused primitive loses on plain row-major matrices.
 */
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/product.h"

static void finish_row(int64_t n, Real *restrict c, const Real *restrict bias, bool relu)
{
    if (bias != NULL && relu) { /* NOLINT(bugprone-branch-clone): it does not see into omp loops */
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            Real value = c[j] + bias[j];
            c[j] = value <= 0 ? 0 : value; /* this way round NaN stays NaN */
        }
    } else if (bias != NULL) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) c[j] += bias[j];
    } else if (relu) {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) c[j] = c[j] <= 0 ? 0 : c[j];
    }
}

static void finish(Device *device, Tensor c, Tensor bias, bool relu)
{
    int64_t m = c.dims[0], n = c.dims[1];
    int parts = cpu_parts(device, m * n);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange rows = range_of_part(m, part, parts);
        for (int64_t i = rows.begin; i < rows.end; i++)
            finish_row(n, tensor_reals(c) + i * n, tensor_reals(bias), relu);
    }
}

void cpu_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options)
{
    c = tensor_as_matrix(c);
    a = tensor_as_matrix(a);
    b = tensor_as_matrix(b);
    Product product = {c.dims[0],
                       c.dims[1],
                       options.transpose_a ? a.dims[0] : a.dims[1],
                       options.transpose_a,
                       options.transpose_b,
                       options.accumulate,
                       a.type};
    int64_t m = product.m, n = product.n, k = product.k;
    PAL_ASSERT(!(options.relu && options.accumulate));
    PAL_ASSERT(!tensor_exists(options.bias) || tensor_count(options.bias) == n);
    if (m == 0 || n == 0) return;

    if (k > 0) {
        PAL_ASSERT((options.transpose_a ? a.dims[1] : a.dims[0]) == m);
        PAL_ASSERT((options.transpose_b ? b.dims[1] : b.dims[0]) == k);
        PAL_ASSERT((options.transpose_b ? b.dims[0] : b.dims[1]) == n);
        device_count(device, 2.0 * (double)m * (double)n * (double)k);
        cpu_product(device, tensor_reals(c), a.data, b.data, product);
    } else if (!options.accumulate) {
        cpu_fill(device, c, 0);
    }
    if (tensor_exists(options.bias) || options.relu) finish(device, c, options.bias, options.relu);
}
