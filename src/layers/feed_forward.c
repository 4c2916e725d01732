/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/feed_forward.h"

#include "src/layers/dropout.h"
#include "src/layers/linear.h"

void feed_forward_create(FeedForward *layer, Arena *arena, const Parameters *parameters,
                         const ModelOptions *options, const Placement *place,
                         const Activations *activations, int number)
{
    int64_t width = placement_feed_forward(place, options);
    *layer = (FeedForward){
        .in = parameters_get(parameters, "layers/%02d/feed_forward/in", number),
        .in_bias = parameters_get(parameters, "layers/%02d/feed_forward/in_bias", number),
        .out = parameters_get(parameters, "layers/%02d/feed_forward/out", number),
        .out_bias = parameters_get(parameters, "layers/%02d/feed_forward/out_bias", number),
        .activation = options->activation,
        .dropout = options->dropout,
        .layer = number,
        .first_channel = width * place->tensor_part,
        .channels = options->feed_forward,
    };
    if (place->tensor_part != 0) layer->out_bias = weight_none;
    int64_t window = options->window, rows = place->rows;
    layer->hidden = activations_take(activations, ACTIVATION_HIDDEN, arena, rows, window, width);
    if (options->activation == ACTIVATION_GELU)
        layer->before =
            activations_take(activations, ACTIVATION_BEFORE_GELU, arena, rows, window, width);
}

static void drop(Device *device, const FeedForward *layer, Tensor x, const Window *window)
{
    DropoutPlace place = {
        .first_row = window->first_row,
        .first_channel = layer->first_channel,
        .channels = layer->channels,
    };
    dropout_apply(device, x, window, DROPOUT_FEED_FORWARD_INNER, layer->layer, place,
                  layer->dropout);
}

void feed_forward_forward(Device *device, FeedForward *layer, Tensor y, Tensor x,
                          const Window *window, bool training)
{
    if (layer->activation == ACTIVATION_RELU) {
        linear_relu_forward(device, layer->hidden, x, layer->in, layer->in_bias);
    } else {
        linear_forward(device, layer->before, x, layer->in, layer->in_bias);
        device->op->gelu_forward(device, layer->hidden, layer->before);
    }
    if (training) drop(device, layer, layer->hidden, window);
    linear_forward(device, y, layer->hidden, layer->out, layer->out_bias);
}

void feed_forward_backward(Device *device, const FeedForward *layer, Tensor dx, Tensor dhidden,
                           Tensor dy, Tensor x, const Window *window)
{
    /* y = hidden W2 + b2 */
    device->op->fill(device, dhidden, 0.0);
    linear_backward(device, dhidden, dy, layer->hidden, layer->out, layer->out_bias);

    /* hidden = dropout(act(before)) */
    drop(device, layer, dhidden, window);
    if (layer->activation == ACTIVATION_RELU)
        device->op->relu_backward(device, dhidden, layer->hidden);
    else
        device->op->gelu_backward(device, dhidden, layer->before);

    /* before = x W1 + b1 */
    linear_backward(device, dx, dhidden, x, layer->in, layer->in_bias);
}
