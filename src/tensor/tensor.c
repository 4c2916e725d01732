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

Tensor tensor_1d(Real *data, int64_t a) { return (Tensor){data, 1, {a}}; }

Tensor tensor_2d(Real *data, int64_t a, int64_t b) { return (Tensor){data, 2, {a, b}}; }

Tensor tensor_3d(Real *data, int64_t a, int64_t b, int64_t c)
{
    return (Tensor){data, 3, {a, b, c}};
}

Tensor tensor_as_matrix(Tensor x)
{
    PAL_ASSERT(x.num_dims >= 1);
    int64_t columns = x.dims[x.num_dims - 1];
    return tensor_2d(x.data, columns == 0 ? 0 : tensor_count(x) / columns, columns);
}

Tensor tensor_reshape_2d(Tensor x, int64_t rows, int64_t columns)
{
    PAL_ASSERT(rows * columns == tensor_count(x));
    return tensor_2d(x.data, rows, columns);
}

Tensor tensor_slice(Tensor x, int64_t first, int64_t count)
{
    PAL_ASSERT(x.num_dims >= 1 && first >= 0 && count >= 0 && first + count <= x.dims[0]);
    int64_t stride = 1;
    for (int i = 1; i < x.num_dims; i++) stride *= x.dims[i];
    x.data += first * stride;
    x.dims[0] = count;
    return x;
}
