/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/transformer_layer.h"

#include <stdio.h>

#include "src/layers/dropout.h"

void transformer_layer_create(TransformerLayer *layer, Arena *arena, PositionTables *tables,
                              const Parameters *parameters, const ModelOptions *options, int number,
                              int rows, Tensor h)
{
    int64_t window = options->window, width = options->width;
    bool pre = options->norm == NORM_PRE;
    *layer = (TransformerLayer){
        .norm = options->norm, .dropout = options->dropout, .number = number, .h = h};

    char name[64];
    snprintf(name, sizeof name, "layers/%02d/attention_norm", number);
    layer_norm_create(&layer->attention_norm, arena, parameters, name, rows, options->window);
    snprintf(name, sizeof name, "layers/%02d/feed_forward_norm", number);
    layer_norm_create(&layer->feed_forward_norm, arena, parameters, name, rows, options->window);
    attention_create(&layer->attention, arena, tables, parameters, options, number, rows);
    feed_forward_create(&layer->feed_forward, arena, parameters, options, number, rows);

    layer->a = pre ? arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width) : h;
    layer->sum = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
    layer->b = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
    layer->out = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
    layer->next =
        pre ? layer->out : arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
}

void layer_workspace_create(LayerWorkspace *work, Arena *arena, const ModelOptions *options,
                            int rows)
{
    int64_t window = options->window;
    attention_workspace_create(&work->attention, arena, options, rows);
    work->branch = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, options->width);
    work->inner = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, options->width);
    work->dhidden = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, options->feed_forward);
}

/* x = dropout(x) + residual */
static void finish_branch(Device *device, const TransformerLayer *layer, Tensor x, Tensor residual,
                          DropoutPurpose purpose, const Window *window, bool training)
{
    phase_begin(device->times, PHASE_NORM);
    if (training) dropout_apply(device, x, window, purpose, layer->number, layer->dropout);
    device->op->add(device, x, residual);
}

void transformer_layer_forward(Device *device, TransformerLayer *layer, AttentionInput *input,
                               const Window *window, bool training)
{
    bool pre = layer->norm == NORM_PRE;

    phase_begin(device->times, PHASE_NORM);
    if (pre) layer_norm_forward(device, &layer->attention_norm, layer->a, layer->h);
    input->source[SOURCE_WINDOW] = layer->a;
    attention_forward(device, &layer->attention, layer->sum, input, window, training);
    finish_branch(device, layer, layer->sum, layer->h, DROPOUT_ATTENTION_OUTPUT, window, training);

    LayerNorm *before_feed_forward = pre ? &layer->feed_forward_norm : &layer->attention_norm;
    layer_norm_forward(device, before_feed_forward, layer->b, layer->sum);

    phase_begin(device->times, PHASE_FEED_FORWARD);
    feed_forward_forward(device, &layer->feed_forward, layer->out, layer->b, window, training);
    finish_branch(device, layer, layer->out, pre ? layer->sum : layer->b,
                  DROPOUT_FEED_FORWARD_OUTPUT, window, training);
    if (!pre) layer_norm_forward(device, &layer->feed_forward_norm, layer->next, layer->out);
}

/* From d(out) in dh to d(b) in work->inner; dh itself goes on along the residual. */
static void feed_forward_part(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                              Tensor dh, const Window *window)
{
    phase_begin(device->times, PHASE_NORM);
    device_copy(device, work->branch, dh);
    dropout_apply(device, work->branch, window, DROPOUT_FEED_FORWARD_OUTPUT, layer->number,
                  layer->dropout);
    device->op->fill(device, work->inner, 0.0);
    phase_begin(device->times, PHASE_FEED_FORWARD);
    feed_forward_backward(device, &layer->feed_forward, work->inner, work->dhidden, work->branch,
                          layer->b, window);
    phase_begin(device->times, PHASE_NORM);
}

/* From d(sum) in dh to d(a) in work->inner; dh itself goes on along the residual. */
static void attention_part(Device *device, TransformerLayer *layer, LayerWorkspace *work, Tensor dh,
                           Tensor dcompressed, const AttentionInput *input, const Window *window)
{
    device_copy(device, work->branch, dh);
    dropout_apply(device, work->branch, window, DROPOUT_ATTENTION_OUTPUT, layer->number,
                  layer->dropout);
    device->op->fill(device, work->inner, 0.0);
    attention_backward(device, &layer->attention, &work->attention, work->inner, dcompressed,
                       work->branch, input, window);
    phase_begin(device->times, PHASE_NORM);
}

/* dx = (norm backward of dy at x), where the gradient dy in dh is replaced by that of x. */
static void norm_in_place(Device *device, LayerWorkspace *work, const LayerNorm *norm, Tensor dh,
                          Tensor x)
{
    device_copy(device, work->branch, dh);
    device->op->fill(device, dh, 0.0);
    layer_norm_backward(device, norm, dh, work->branch, x);
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
