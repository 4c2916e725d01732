/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/parallel_output.h"

#include "src/layers/linear.h"

/* Enough rows for an efficient product, few enough that the logits of a large vocabulary stay small
 * beside the activations. */
enum { MOST_LOGITS = 1 << 23, LEAST_PIECE = 64 };

void output_create(OutputLayer *layer, Arena *arena, const Parameters *parameters,
                   const ModelOptions *options, const Placement *place, const Group *group)
{
    *layer = (OutputLayer){
        .table = parameters_get(parameters,
                                options->tie_embeddings ? "embedding/table" : "output/table"),
        .bias = parameters_get(parameters, "output/bias"),
        .tied = options->tie_embeddings,
        .first_token = place->first_token,
        .group = group,
    };
    /* The same number of rows on every rank, however long its slice. */
    int64_t most = (int64_t)place->rows * options->window;
    int64_t piece = (int64_t)MOST_LOGITS / options->vocabulary * group->size;
    if (piece < LEAST_PIECE) piece = LEAST_PIECE;
    if (piece > most) piece = most;
    layer->logits = arena_tensor_2d(arena, PURPOSE_WORKSPACE, piece, place->tokens);
    layer->rounded = layer->logits;
    if (place->operands != NUMBER_FLOAT32)
        layer->rounded =
            arena_typed_2d(arena, PURPOSE_WORKSPACE, place->operands, piece, place->tokens);
    if (group->size > 1)
        layer->parts = arena_tensor_3d(arena, PURPOSE_WORKSPACE, group->size, piece, 3);
}

void output_logits(Device *device, const OutputLayer *layer, Tensor logits, Tensor x)
{
    device->op->matmul(device, logits, x, layer->table.operand,
                       (MatmulOptions){.transpose_b = layer->tied, .bias = layer->bias.value});
}

/* From dlogits: dx += dlogits Wout^T and the gradients of Wout and bout. */
static void logits_backward(Device *device, const OutputLayer *layer, Tensor dx, Tensor dlogits,
                            Tensor x)
{
    Tensor rounded = tensor_slice(layer->rounded, 0, dlogits.dims[0]);
    device_round(device, rounded, dlogits);
    if (!layer->tied) {
        linear_backward(device, dx, rounded, x, layer->table, layer->bias);
        return;
    }
    /* logits = x E^T + bout */
    device->op->matmul(device, dx, rounded, layer->table.operand,
                       (MatmulOptions){.accumulate = true});
    device->op->matmul(device, layer->table.gradient, rounded, x,
                       (MatmulOptions){.transpose_a = true, .accumulate = true});
    device->op->add_column_sums(device, layer->bias.gradient, rounded);
}

/* nats of one piece; with `gradient` logits become their own gradient. */
static void cross_entropy(Device *device, const OutputLayer *layer, Tensor nats, Tensor logits,
                          const int32_t *targets, bool gradient)
{
    const Group *group = layer->group;
    if (group->size == 1) {
        device->op->cross_entropy(device, nats, logits, targets, gradient);
        return;
    }
    int64_t count = logits.dims[0];
    Tensor parts = tensor_part_3d(layer->parts, 0, group->size, count, 3);
    Tensor own = tensor_slice(parts, group->rank, 1);
    device->op->cross_entropy_slice(device, own, logits, targets, layer->first_token);
    group_all_gather(group, TRAFFIC_ACTIVATIONS, tensor_reals(parts), tensor_reals(own), 3 * count);
    device->op->cross_entropy_join(device, nats, logits, parts, targets, layer->first_token,
                                   gradient);
}

void output_loss(Device *device, OutputLayer *layer, Tensor nats, Tensor dx, Tensor x,
                 const Window *window)
{
    bool gradient = tensor_exists(dx);
    Tensor x_rows = tensor_as_matrix(x), dx_rows = gradient ? tensor_as_matrix(dx) : tensor_none;
    Tensor nats_rows = tensor_part_1d(nats, 0, x_rows.dims[0]);
    int64_t rows = x_rows.dims[0], most = layer->logits.dims[0];

    for (int64_t first = 0; first < rows; first += most) {
        int64_t count = rows - first < most ? rows - first : most;
        Tensor logits = tensor_slice(layer->logits, 0, count);
        Tensor x_piece = tensor_slice(x_rows, first, count);

        output_logits(device, layer, logits, x_piece);
        cross_entropy(device, layer, tensor_slice(nats_rows, first, count), logits,
                      window->targets + first, gradient);
        if (gradient)
            logits_backward(device, layer, tensor_slice(dx_rows, first, count), logits, x_piece);
    }
}
