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

#include "src/base/status.h"
#include "src/tensor/dims.h"

enum { PAL_MAX_DIMS = 4 };

typedef struct Tensor {
    void *data; /* borrowed */
    NumberType type;
    int num_dims;
    int64_t dims[PAL_MAX_DIMS];
} Tensor;

static const Tensor tensor_none = {NULL, NUMBER_FLOAT32, 0, {0}};

static inline bool tensor_exists(Tensor x) { return x.data != NULL; }

int64_t tensor_count(Tensor x); /* number of elements */

static inline size_t number_size(NumberType type)
{
    return type == NUMBER_BFLOAT16 ? 2 : sizeof(Real);
}

/* Its numbers where they are float32, as all of whom this asks are: anything else is a bug. */
static inline Real *tensor_reals(Tensor x)
{
    PAL_ASSERT(x.type == NUMBER_FLOAT32);
    return (Real *)x.data;
}

/* Of float32. */
Tensor tensor_1d(Real *data, int64_t a);
Tensor tensor_2d(Real *data, int64_t a, int64_t b);
Tensor tensor_3d(Real *data, int64_t a, int64_t b, int64_t c);

/* The same numbers seen as (rows, last dim): (B, T, D) becomes (B T, D). */
Tensor tensor_as_matrix(Tensor x);

/* The same numbers seen as (rows, columns); rows * columns is the number of elements. */
Tensor tensor_reshape_2d(Tensor x, int64_t rows, int64_t columns);

/* All numbers of x from `first` on, as one row. */
Tensor tensor_from(Tensor x, int64_t first);

/* Numbers of x from `first` on in a shape of their own; they may end before x does. */
Tensor tensor_part_1d(Tensor x, int64_t first, int64_t a);
Tensor tensor_part_2d(Tensor x, int64_t first, int64_t a, int64_t b);
Tensor tensor_part_3d(Tensor x, int64_t first, int64_t a, int64_t b, int64_t c);

/* The same bytes as (words) float32, for those who carry numbers without looking at them. x has an
 * even number of bfloat16: rows of D numbers, which is even, do. */
Tensor tensor_as_words(Tensor x);

/* Elements [first, first + count) along the first dimension. */
Tensor tensor_slice(Tensor x, int64_t first, int64_t count);

#endif
