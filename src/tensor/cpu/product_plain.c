/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products by plain loops, for the double-precision build: oneDNN's are single precision.
 */
#include <stddef.h>

#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/product.h"

/* One row of c. Element (i, p) of op(a) is a[p * a_step]. */
static void product_row(Real *restrict c, const Real *restrict a, int64_t a_step,
                        const Real *restrict b, Product product)
{
    int64_t n = product.n, k = product.k;
    for (int64_t j = 0; j < n && !product.accumulate; j++) c[j] = 0;
    if (product.transpose_b) {
        for (int64_t j = 0; j < n; j++) {
            Real sum = 0;
            for (int64_t p = 0; p < k; p++) sum += a[p * a_step] * b[j * k + p];
            c[j] += sum;
        }
        return;
    }
    for (int64_t p = 0; p < k; p++) {
        Real factor = a[p * a_step];
#pragma omp simd
        for (int64_t j = 0; j < n; j++) c[j] += factor * b[p * n + j];
    }
}

bool cpu_multiplies_bfloat16(void) { return false; }

void cpu_product(Device *device, Real *c, const void *a_data, const void *b_data, Product product)
{
    const Real *a = a_data, *b = b_data;
    int64_t m = product.m, n = product.n, k = product.k;
    int parts = cpu_parts(device, m * n * k);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange rows = range_of_part(m, part, parts);
        for (int64_t i = rows.begin; i < rows.end; i++) {
            const Real *row = product.transpose_a ? a + i : a + i * k;
            product_row(c + i * n, row, product.transpose_a ? m : 1, b, product);
        }
    }
}

void cpu_product_cache_destroy(void **cache) { *cache = NULL; }
