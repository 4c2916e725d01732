/* SPDX-License-Identifier: Apache-2.0
 *
 * A Tensor is a view of contiguous row-major numbers on the device; it owns nothing (arenas own).
 * It is small and passed by value. A tensor without data (tensor_none) stands for "not there".
 */
#ifndef PAL_TENSOR_TENSOR_H
#define PAL_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/tensor/dims.h"

enum { PAL_MAX_DIMS = 4 };

typedef struct Tensor {
    Real *data; /* borrowed */
    int num_dims;
    int64_t dims[PAL_MAX_DIMS];
} Tensor;

static const Tensor tensor_none = {NULL, 0, {0}};

static inline bool tensor_exists(Tensor x) { return x.data != NULL; }

int64_t tensor_count(Tensor x); /* number of elements */

Tensor tensor_1d(Real *data, int64_t a);
Tensor tensor_2d(Real *data, int64_t a, int64_t b);
Tensor tensor_3d(Real *data, int64_t a, int64_t b, int64_t c);

/* The same numbers seen as (rows, last dim): (B, T, D) becomes (B T, D). */
Tensor tensor_as_matrix(Tensor x);

/* The same numbers seen as (rows, columns); rows * columns is the number of elements. */
Tensor tensor_reshape_2d(Tensor x, int64_t rows, int64_t columns);

/* Elements [first, first + count) along the first dimension. */
Tensor tensor_slice(Tensor x, int64_t first, int64_t count);

#endif
