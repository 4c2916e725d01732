/* SPDX-License-Identifier: Apache-2.0
 *
 * The bare matrix product under cpu_matmul: c (m,n) = [c +] op(a) (m,k) op(b) (k,n), all row-major
 * and dense, m, n, k >= 1.
 *
 * product_dnnl.c (float, oneDNN) and product_plain.c (double, plain loops for gradient checks) both
 * implement it; the build takes one of them.
 */
#ifndef PAL_TENSOR_CPU_PRODUCT_H
#define PAL_TENSOR_CPU_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/device.h"

typedef struct Product {
    int64_t m, n, k;
    bool transpose_a, transpose_b, accumulate;
    NumberType operands; /* of a and b; bfloat16 only where cpu_multiplies_bfloat16() */
} Product;

void cpu_product(Device *device, Real *c, const void *a, const void *b, Product product);

/* Whether the processor has instructions for products of bfloat16 with float32 sums. */
bool cpu_multiplies_bfloat16(void);

/* Frees what products keep in the device's context (`CpuContext.matmul_cache`). */
void cpu_product_cache_destroy(void **cache);

#endif
