/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/transformer_layer.h"

#include <stdio.h>

#include "src/layers/dropout.h"

void transformer_layer_create(TransformerLayer *layer, Arena *arena, PositionTables *tables,
                              const Parameters *parameters, const ModelOptions *options,
                              const Placement *place, const Sequence *sequence,
                              const Activations *activations, int number, Tensor h,
                              const TransformerLayer *like, bool training)
{
    int positions = placement_positions(place, options), rows = place->rows;
    int64_t width = options->width;
    bool pre = options->norm == NORM_PRE;
    *layer = (TransformerLayer){.norm = options->norm,
                                .dropout = options->dropout,
                                .number = number,
                                .first_position = placement_first_position(place, options),
                                .sequence = sequence,
                                .h = h};

    char name[64];
    snprintf(name, sizeof name, "layers/%02d/attention_norm", number);
    layer_norm_create(&layer->attention_norm, arena, parameters, name, rows, positions);
    snprintf(name, sizeof name, "layers/%02d/feed_forward_norm", number);
    layer_norm_create(&layer->feed_forward_norm, arena, parameters, name, rows, positions);
    attention_create(&layer->attention, arena, tables, parameters, options, place, activations,
                     number, like != NULL ? &like->attention : NULL, training);
    feed_forward_create(&layer->feed_forward, arena, parameters, options, place, activations,
                        number);

    bool rounds = place->operands != NUMBER_FLOAT32;
    layer->a = h;
    if (pre || rounds)
        layer->a = activations_take(activations, ACTIVATION_A, arena, rows, positions, width);
    layer->sum = activations_take(activations, ACTIVATION_SUM, arena, rows, positions, width);
    layer->normed = layer->b =
        activations_take(activations, ACTIVATION_B, arena, rows, positions, width);
    if (!pre && rounds)
        layer->normed =
            activations_take(activations, ACTIVATION_NORMED, arena, rows, positions, width);
    layer->whole_a = layer->a;
    layer->whole_b = layer->b;
    if (place->tensor_parts > 1) {
        layer->whole_a =
            activations_take(activations, ACTIVATION_WHOLE_A, arena, rows, options->window, width);
        layer->whole_b =
            activations_take(activations, ACTIVATION_WHOLE_B, arena, rows, options->window, width);
    }
    layer->next = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, positions, width);
    layer->out =
        pre ? layer->next
            : activations_take(activations, ACTIVATION_BEFORE_NORM, arena, rows, positions, width);
}

void layer_workspace_create(LayerWorkspace *work, Arena *arena, const ModelOptions *options,
                            const Placement *place, const Sequence *sequence, bool training)
{
    int64_t window = options->window, rows = place->rows, width = options->width;
    int positions = placement_positions(place, options);
    if (sequence->group->size > 1)
        work->partial = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
    if (!training) return;
    attention_workspace_create(&work->attention, arena, options, place);
    work->branch =
        arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, positions, width);
    work->whole_branch = sequence_whole(sequence, arena, PURPOSE_WORKSPACE, work->branch);
    work->inner = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, positions, width);
    work->dhidden = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, window,
                                   placement_feed_forward(place, options));
}

/* Where this rank's share of `part` is computed: in a group of one there itself. */
static Tensor share_of(const LayerWorkspace *work, Tensor part)
{
    return tensor_exists(work->partial) ? work->partial : part;
}

static void gather(Device *device, const TransformerLayer *layer, Tensor whole, Tensor part)
{
    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_gather(layer->sequence, TRAFFIC_ACTIVATIONS, whole, part);
}

/* part = the sum over the group of what share_of(part) holds. */
static void scatter(Device *device, const TransformerLayer *layer, const LayerWorkspace *work,
                    Tensor part)
{
    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_scatter(layer->sequence, TRAFFIC_ACTIVATIONS, part, share_of(work, part));
}

static void drop(Device *device, const TransformerLayer *layer, Tensor x, DropoutPurpose purpose,
                 const Window *window)
{
    DropoutPlace place = {.first_row = window->first_row,
                          .first_position = layer->first_position,
                          .channels = x.dims[2]};
    dropout_apply(device, x, window, purpose, layer->number, place, layer->dropout);
}

/* x = dropout(x) + residual */
static void finish_branch(Device *device, const TransformerLayer *layer, Tensor x, Tensor residual,
                          DropoutPurpose purpose, const Window *window, bool training)
{
    phase_begin(device->times, PHASE_NORM);
    if (training) drop(device, layer, x, purpose, window);
    device->op->add(device, x, residual);
}

void transformer_layer_forward(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                               const AttentionInput *input, const Window *window, bool training)
{
    bool pre = layer->norm == NORM_PRE;

    phase_begin(device->times, PHASE_NORM);
    if (pre)
        layer_norm_forward(device, &layer->attention_norm, layer->a, layer->h);
    else
        device_round(device, layer->a, layer->h);
    gather(device, layer, layer->whole_a, layer->a);
    attention_forward(device, &layer->attention, share_of(work, layer->sum), input, window,
                      training);
    scatter(device, layer, work, layer->sum);
    finish_branch(device, layer, layer->sum, layer->h, DROPOUT_ATTENTION_OUTPUT, window, training);

    LayerNorm *before_feed_forward = pre ? &layer->feed_forward_norm : &layer->attention_norm;
    layer_norm_forward(device, before_feed_forward, layer->normed, layer->sum);
    device_round(device, layer->b, layer->normed);
    gather(device, layer, layer->whole_b, layer->b);
    phase_begin(device->times, PHASE_FEED_FORWARD);
    feed_forward_forward(device, &layer->feed_forward, share_of(work, layer->out), layer->whole_b,
                         window, training);
    scatter(device, layer, work, layer->out);
    finish_branch(device, layer, layer->out, pre ? layer->sum : layer->normed,
                  DROPOUT_FEED_FORWARD_OUTPUT, window, training);
    if (!pre) layer_norm_forward(device, &layer->feed_forward_norm, layer->next, layer->out);
}

/* The gradient of a sub-layer's output, from that of what it was added to, into
 * work->whole_branch. */
static void begin_branch(Device *device, const TransformerLayer *layer, LayerWorkspace *work,
                         Tensor dh, DropoutPurpose purpose, const Window *window)
{
    phase_begin(device->times, PHASE_NORM);
    device_copy(device, work->branch, dh);
    drop(device, layer, work->branch, purpose, window);
    device->op->fill(device, share_of(work, work->inner), 0.0);
    gather(device, layer, work->whole_branch, work->branch);
}

/* From d(out) in dh to d(b) in work->inner; dh itself goes on along the residual. */
static void feed_forward_part(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                              Tensor dh, const Window *window)
{
    begin_branch(device, layer, work, dh, DROPOUT_FEED_FORWARD_OUTPUT, window);
    phase_begin(device->times, PHASE_FEED_FORWARD);
    feed_forward_backward(device, &layer->feed_forward, share_of(work, work->inner), work->dhidden,
                          work->whole_branch, layer->whole_b, window);
    scatter(device, layer, work, work->inner);
    phase_begin(device->times, PHASE_NORM);
}

/* From d(sum) in dh to d(a) in work->inner; dh itself goes on along the residual. */
static void attention_part(Device *device, TransformerLayer *layer, LayerWorkspace *work, Tensor dh,
                           Tensor dcompressed, const AttentionInput *input, const Window *window)
{
    begin_branch(device, layer, work, dh, DROPOUT_ATTENTION_OUTPUT, window);
    attention_backward(device, &layer->attention, &work->attention, share_of(work, work->inner),
                       dcompressed, work->whole_branch, input, window);
    scatter(device, layer, work, work->inner);
    phase_begin(device->times, PHASE_NORM);
}

/* dx = (norm backward of dy at x), where the gradient dy in dh is replaced by that of x. */
static void norm_in_place(Device *device, LayerWorkspace *work, const LayerNorm *norm, Tensor dh,
                          Tensor x)
{
    phase_begin(device->times, PHASE_NORM);
    device_copy(device, work->inner, dh);
    device->op->fill(device, dh, 0.0);
    layer_norm_backward(device, norm, dh, work->inner, x);
}

void transformer_layer_backward(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                                Tensor dh, Tensor dcompressed, const AttentionInput *input,
                                const Window *window)
{
    if (layer->norm == NORM_PRE) {
        /* out = sum + mlp(LN_2(sum)) */
        feed_forward_part(device, layer, work, dh, window);
        layer_norm_backward(device, &layer->feed_forward_norm, dh, work->inner, layer->sum);
        /* sum = h + y(LN_1(h)) */
        attention_part(device, layer, work, dh, dcompressed, input, window);
        layer_norm_backward(device, &layer->attention_norm, dh, work->inner, layer->h);
    } else {
        /* next = LN_2(b + mlp(b)) */
        norm_in_place(device, work, &layer->feed_forward_norm, dh, layer->out);
        feed_forward_part(device, layer, work, dh, window);
        device->op->add(device, dh, work->inner);
        /* b = LN_1(h + y(h)) */
        norm_in_place(device, work, &layer->attention_norm, dh, layer->sum);
        attention_part(device, layer, work, dh, dcompressed, input, window);
        device->op->add(device, dh, work->inner);
    }
}
