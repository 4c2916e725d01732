/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

void cpu_embedding_forward(Device *device, Tensor y, Tensor table, const int32_t *tokens,
                           int64_t first_token, double factor)
{
    y = tensor_as_matrix(y);
    int64_t rows = y.dims[0], width = y.dims[1];
    PAL_ASSERT(table.num_dims == 2 && table.dims[1] == width);

    int parts = cpu_parts(device, rows * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            Real *restrict to = tensor_reals(y) + i * width;
            int64_t token = tokens[i] - first_token;
            if (token < 0 || token >= table.dims[0]) {
                for (int64_t j = 0; j < width; j++) to[j] = 0;
                continue;
            }
            const Real *restrict from = tensor_reals(table) + token * width;
#pragma omp simd
            for (int64_t j = 0; j < width; j++) to[j] = (Real)factor * from[j];
        }
    }
}

/* A token may stand in many rows, so threads divide the channels, not the rows: each adds to its
 * own columns of the table, in the order of the rows. */
void cpu_embedding_backward(Device *device, Tensor dtable, Tensor dy, const int32_t *tokens,
                            int64_t first_token, double factor)
{
    dy = tensor_as_matrix(dy);
    int64_t rows = dy.dims[0], width = dy.dims[1];
    PAL_ASSERT(dtable.num_dims == 2 && dtable.dims[1] == width);

    int parts = cpu_parts(device, rows * width);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange channels = line_range_of_part(width, part, parts);
        for (int64_t i = 0; i < rows; i++) {
            int64_t token = tokens[i] - first_token;
            if (token < 0 || token >= dtable.dims[0]) continue;
            Real *restrict to = tensor_reals(dtable) + token * width;
            const Real *restrict from = tensor_reals(dy) + i * width;
#pragma omp simd
            for (int64_t j = channels.begin; j < channels.end; j++) to[j] += (Real)factor * from[j];
        }
    }
}
