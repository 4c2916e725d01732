/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/cluster_rows.h"

#include "src/base/checked.h"

/* Enough rows for an efficient product, few enough to be small beside the activations. */
enum { MOST_ROWS = 1024 };

void cluster_work_create(ClusterWork *work, Arena *arena, const ModelOptions *options,
                         const Placement *place)
{
    *work = (ClusterWork){0};
    if (!model_is_adaptive(options)) return;
    int64_t rows = (int64_t)place->rows * options->window, width = options->width;
    size_t bytes = checked_size(rows) * sizeof(int32_t);
    work->found.rows = arena_host(arena, PURPOSE_DATA, bytes);
    work->found.tokens = arena_host(arena, PURPOSE_DATA, bytes);
    work->tokens = arena_host(arena, PURPOSE_DATA, bytes);
    work->most = rows < MOST_ROWS ? rows : MOST_ROWS;

    NumberType operands = place->operands;
    work->narrow = arena_typed_2d(arena, PURPOSE_WORKSPACE, operands, work->most, width);
    work->dnarrow = arena_tensor_2d(arena, PURPOSE_WORKSPACE, work->most, width);
    work->dwide = arena_tensor_2d(arena, PURPOSE_WORKSPACE, work->most, width);
    work->nats = arena_tensor_1d(arena, PURPOSE_WORKSPACE, work->most);
    work->dnarrow_rounded = work->dnarrow;
    work->wide = work->dwide;
    if (operands == NUMBER_FLOAT32) return;
    work->dnarrow_rounded = arena_typed_2d(arena, PURPOSE_WORKSPACE, operands, work->most, width);
    work->wide = arena_typed_2d(arena, PURPOSE_WORKSPACE, operands, work->most, width);
}

Tensor cluster_work_rows(Tensor buffer, int64_t rows, int64_t columns)
{
    PAL_ASSERT(rows * columns <= tensor_count(buffer));
    return tensor_part_2d(buffer, 0, rows, columns);
}

void cluster_rows_find(ClusterRows *found, const int32_t *row_tokens, int64_t count,
                       int64_t first_token, int64_t tokens)
{
    found->count = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t token = row_tokens[i] - first_token;
        if (token < 0 || token >= tokens) continue;
        found->rows[found->count] = (int32_t)i;
        found->tokens[found->count] = (int32_t)token;
        found->count++;
    }
}

ClusterRows cluster_rows_piece(const ClusterRows *found, int64_t first, int64_t most)
{
    int64_t left = found->count - first;
    return (ClusterRows){found->rows + first, found->tokens + first, left < most ? left : most};
}

void cluster_rows_take(Device *device, Tensor y, Tensor x, const ClusterRows *piece)
{
    PAL_ASSERT(y.dims[0] == piece->count && y.dims[1] == x.dims[1]);
    device->op->select_rows(device, tensor_part_3d(y, 0, 1, y.dims[0], y.dims[1]),
                            tensor_part_3d(x, 0, 1, x.dims[0], x.dims[1]), piece->rows);
}

/* As gradients are added to the rows of a table. */
void cluster_rows_add(Device *device, Tensor x, Tensor y, const ClusterRows *piece)
{
    device->op->embedding_backward(device, x, y, piece->rows, 0, 1.0);
}
