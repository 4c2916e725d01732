/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/decoder.h"

#include <string.h>

#include "src/base/checked.h"
#include "src/layers/attention_step.h"
#include "src/layers/embedding.h"

static const bool never_starts = false; /* decoder_begin empties the memory */

/* The decoder has one micro-batch, so one flight. */
static Flight *decoder_flight(const Decoder *decoder) { return &decoder->model->flights[0]; }

void decoder_create(Decoder *decoder, Arena *arena, Model *model)
{
    const ModelOptions *options = &model->options;
    size_t window = checked_size(options->window);
    *decoder = (Decoder){.model = model};
    decoder->inputs = arena_host(arena, PURPOSE_DATA, window * sizeof(int32_t));
    decoder->targets = arena_host(arena, PURPOSE_DATA, window * sizeof(int32_t));
    decoder->lse = arena_tensor_3d(arena, PURPOSE_WORKSPACE, 1, options->heads, 1);
    decoder->logits = arena_host(arena, PURPOSE_DATA,
                                 checked_size(options->vocabulary) * sizeof *decoder->logits);
}

void decoder_begin(Decoder *decoder)
{
    Model *model = decoder->model;
    PAL_ASSERT(model->place.rows == 1 && model->place.tensor_parts == 1 && !model->training);
    decoder->counted = 0;
    decoder->memory_projected = false;
    for (int t = 0; t < model->options.window; t++) decoder->targets[t] = -1;
    model_empty_memory(model);
    model_use_weights(model);
}

/* The present window; positions from `counted` on are padding. */
static Window present_window(const Decoder *decoder)
{
    return (Window){.rows = 1,
                    .length = decoder->model->options.window,
                    .inputs = decoder->inputs,
                    .targets = decoder->targets,
                    .counted = &decoder->counted,
                    .starts = &never_starts};
}

static void finish_window(Decoder *decoder)
{
    decoder_flight(decoder)->window.counted = &decoder->counted; /* full by now */
    model_remember(decoder->model, 0);
    decoder->counted = 0;
    decoder->memory_projected = false;
}

/* Once per window: what its attention sees, and keys and values of it. */
static void project_memory(Decoder *decoder)
{
    Model *model = decoder->model;
    Flight *flight = decoder_flight(decoder);
    if (decoder->memory_projected) return;
    flight->window = present_window(decoder);
    for (int l = 0; l < model->options.layers; l++) {
        memory_mark(&model->memory[l], &flight->marks[l], 0);
        gather_begin(&model->gather, &model->memory[l], &flight->marks[l]);
        MemoryView view = gather_end(&model->gather);
        AttentionInput input = model_attention_input(model, 0, l, view);
        attention_project_sources(model->device, &flight->layers[l].attention, &input,
                                  SOURCE_WINDOW);
    }
    decoder->memory_projected = true;
}

/* Row i of a norm's input and output. */
static void norm_step(Device *device, const LayerNorm *norm, Tensor y, Tensor x, int i)
{
    LayerNorm row = *norm;
    row.mean = tensor_part_1d(norm->mean, i, 1);
    row.rstd = tensor_part_1d(norm->rstd, i, 1);
    layer_norm_forward(device, &row, window_position(y, i), window_position(x, i));
}

static void round_step(Device *device, Tensor y, Tensor x, int i)
{
    device_round(device, window_position(y, i), window_position(x, i));
}

static void feed_forward_step(Device *device, const FeedForward *layer, Tensor y, Tensor x,
                              const Window *token, int i)
{
    FeedForward row = *layer;
    row.hidden = window_position(layer->hidden, i);
    if (tensor_exists(layer->before)) row.before = window_position(layer->before, i);
    feed_forward_forward(device, &row, window_position(y, i), window_position(x, i), token, false);
}

/* x += residual at position i */
static void add_step(Device *device, Tensor x, Tensor residual, int i)
{
    device->op->add(device, window_position(x, i), window_position(residual, i));
}

/* transformer_layer_forward at position i */
static void layer_step(Decoder *decoder, int l, const Window *token, int i)
{
    Model *model = decoder->model;
    Device *device = model->device;
    TransformerLayer *layer = &decoder_flight(decoder)->layers[l];
    bool pre = layer->norm == NORM_PRE;
    const MemoryView projected = {0}; /* its keys and values are there */
    AttentionInput input = model_attention_input(model, 0, l, projected);

    if (pre)
        norm_step(device, &layer->attention_norm, layer->a, layer->h, i);
    else
        round_step(device, layer->a, layer->h, i);
    attention_step(device, &layer->attention, window_position(layer->sum, i), decoder->lse, &input,
                   token, i);
    add_step(device, layer->sum, layer->h, i);
    norm_step(device, pre ? &layer->feed_forward_norm : &layer->attention_norm, layer->normed,
              layer->sum, i);
    round_step(device, layer->b, layer->normed, i);
    feed_forward_step(device, &layer->feed_forward, layer->out, layer->b, token, i);
    add_step(device, layer->out, pre ? layer->sum : layer->normed, i);
    if (!pre) norm_step(device, &layer->feed_forward_norm, layer->next, layer->out, i);
}

/* The token that was put into the window last. */
static void step(Decoder *decoder)
{
    Model *model = decoder->model;
    Flight *flight = decoder_flight(decoder);
    int i = decoder->counted - 1, one = 1;
    Window token = {.rows = 1,
                    .length = 1,
                    .inputs = decoder->inputs + i,
                    .targets = decoder->targets + i,
                    .counted = &one,
                    .starts = &never_starts};
    project_memory(decoder);
    embedding_forward(model->device, &model->embedding, window_position(flight->h, i), &token);
    for (int l = 0; l < model->options.layers; l++) layer_step(decoder, l, &token, i);
    if (model->options.norm == NORM_PRE)
        norm_step(model->device, &flight->final_norm, flight->top, flight->last, i);
    else
        round_step(model->device, flight->top, flight->last, i);
}

/* All of the window at once. */
static void read_window(Decoder *decoder)
{
    Window window = present_window(decoder);
    model_forward(decoder->model, 0, &window, 0, false);
    decoder->memory_projected = true; /* as part of it */
}

void decoder_read(Decoder *decoder, const int32_t *tokens, int64_t count)
{
    Model *model = decoder->model;
    int length = model->options.window;
    PAL_ASSERT(count > 0);
    for (int64_t done = 0; done < count;) {
        if (decoder->counted == length) finish_window(decoder);
        int room = length - decoder->counted;
        int taken = count - done < room ? (int)(count - done) : room;
        memcpy(decoder->inputs + decoder->counted, tokens + done,
               checked_size(taken) * sizeof *tokens);
        decoder->counted += taken;
        done += taken;
        if (taken == 1)
            step(decoder);
        else
            read_window(decoder);
    }
    Tensor top = window_position(decoder_flight(decoder)->top, decoder->counted - 1);
    output_logits(model->device, &model->output, decoder->logits, tensor_as_matrix(top));
}
