/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/tensor.h"

#include "src/base/status.h"

int64_t tensor_count(Tensor x)
{
    if (x.num_dims == 0) return 0;
    int64_t count = 1;
    for (int i = 0; i < x.num_dims; i++) count *= x.dims[i];
    return count;
}

Tensor tensor_1d(Real *data, int64_t a) { return (Tensor){data, NUMBER_FLOAT32, 1, {a}}; }

Tensor tensor_2d(Real *data, int64_t a, int64_t b)
{
    return (Tensor){data, NUMBER_FLOAT32, 2, {a, b}};
}

Tensor tensor_3d(Real *data, int64_t a, int64_t b, int64_t c)
{
    return (Tensor){data, NUMBER_FLOAT32, 3, {a, b, c}};
}

/* Tensors that only describe a shape have no data. */
static void *number_at(Tensor x, int64_t i)
{
    if (x.data == NULL) return NULL;
    return (char *)x.data + i * (int64_t)number_size(x.type);
}

Tensor tensor_from(Tensor x, int64_t first)
{
    PAL_ASSERT(first >= 0 && first <= tensor_count(x));
    return tensor_part_1d(x, first, tensor_count(x) - first);
}

Tensor tensor_part_1d(Tensor x, int64_t first, int64_t a)
{
    return (Tensor){number_at(x, first), x.type, 1, {a}};
}

Tensor tensor_part_2d(Tensor x, int64_t first, int64_t a, int64_t b)
{
    return (Tensor){number_at(x, first), x.type, 2, {a, b}};
}

Tensor tensor_part_3d(Tensor x, int64_t first, int64_t a, int64_t b, int64_t c)
{
    return (Tensor){number_at(x, first), x.type, 3, {a, b, c}};
}

Tensor tensor_as_words(Tensor x)
{
    int64_t bytes = tensor_count(x) * (int64_t)number_size(x.type);
    PAL_ASSERT(bytes % (int64_t)sizeof(Real) == 0);
    return tensor_1d(x.data, bytes / (int64_t)sizeof(Real));
}

Tensor tensor_as_matrix(Tensor x)
{
    PAL_ASSERT(x.num_dims >= 1);
    int64_t columns = x.dims[x.num_dims - 1];
    return tensor_part_2d(x, 0, columns == 0 ? 0 : tensor_count(x) / columns, columns);
}

Tensor tensor_reshape_2d(Tensor x, int64_t rows, int64_t columns)
{
    PAL_ASSERT(rows * columns == tensor_count(x));
    return tensor_part_2d(x, 0, rows, columns);
}

Tensor tensor_slice(Tensor x, int64_t first, int64_t count)
{
    PAL_ASSERT(x.num_dims >= 1 && first >= 0 && count >= 0 && first + count <= x.dims[0]);
    int64_t stride = 1;
    for (int i = 1; i < x.num_dims; i++) stride *= x.dims[i];
    x.data = number_at(x, first * stride);
    x.dims[0] = count;
    return x;
}
