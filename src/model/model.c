/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/model.h"

#include <string.h>

#include "src/base/checked.h"
#include "src/layers/dropout.h"
#include "src/model/remember.h"

void model_start(Model *model) { positions_fill(&model->positions, model->device); }

void model_weights_changed(Model *model) { model->weights_current = false; }

void model_empty_row(Model *model, int row)
{
    for (int l = 0; l < model->place.layers; l++) memory_empty_row(&model->memory[l], row);
}

void model_empty_memory(Model *model)
{
    int rows = model->place.rows * model->place.row_groups;
    for (int row = 0; row < rows; row++) model_empty_row(model, row);
}

bool model_row_is_finite(const Model *model, int row)
{
    for (int l = 0; l < model->place.layers; l++)
        if (!memory_row_is_finite(model->device, &model->memory[l], row)) return false;
    return true;
}

size_t model_memory_bytes(const Model *model)
{
    size_t slots = 0;
    for (int l = 0; l < model->place.layers; l++) {
        const LayerMemory *memory = &model->memory[l];
        slots += checked_size(memory->rows) *
                 checked_size(memory->recent.kept + memory->compressed.kept);
    }
    return slots * checked_size(model->options.width) * number_size(model->place.operands);
}

AttentionInput model_attention_input(const Model *model, int flight, int layer, MemoryView view)
{
    const Flight *f = &model->flights[flight];
    return (AttentionInput){
        .source = {[SOURCE_COMPRESSED] = view.compressed,
                   [SOURCE_MEMORY] = view.recent,
                   [SOURCE_WINDOW] = f->layers[layer].whole_a},
        .valid = {[SOURCE_COMPRESSED] = f->marks[layer].valid_compressed,
                  [SOURCE_MEMORY] = f->marks[layer].valid_recent},
    };
}

static void keep_window(Flight *flight, const Window *window)
{
    size_t rows = checked_size(window->rows), tokens = rows * checked_size(window->length);
    memcpy(flight->inputs, window->inputs, tokens * sizeof *window->inputs);
    memcpy(flight->counted, window->counted, rows * sizeof *window->counted);
    flight->window = *window;
    flight->window.inputs = flight->inputs;
    flight->window.counted = flight->counted;
}

/* Where documents start memory is empty; what the window then sees stays readable by its marks. */
static void mark_memory(Model *model, Flight *flight, int first_row)
{
    for (int l = 0; l < model->place.layers; l++) {
        LayerMemory *memory = &model->memory[l];
        for (int b = 0; b < flight->window.rows && !model->keep_memory; b++)
            if (flight->window.starts[b]) memory_empty_row(memory, first_row + b);
        memory_mark(memory, &flight->marks[l], first_row);
    }
}

void model_use_weights(Model *model)
{
    if (model->weights_current) return;
    parameters_round(model->parameters, model->device);
    phase_begin(model->device->times, PHASE_POSITION);
    for (int l = 0; l < model->place.layers; l++)
        attention_project_positions(model->device, &model->flights[0].layers[l].attention);
    model->weights_current = true;
}

/* Dropout on this rank's positions of the embedding's output or its gradient. */
static void drop_embedding(Model *model, const Window *window, Tensor h)
{
    DropoutPlace place = {
        .first_row = window->first_row,
        .first_position = placement_first_position(&model->place, &model->options),
        .channels = model->options.width,
    };
    dropout_apply(model->device, h, window, DROPOUT_EMBEDDING, 0, place, model->options.dropout);
}

static void embed(Model *model, Flight *flight)
{
    Device *device = model->device;
    phase_begin(device->times, PHASE_EMBEDDING);
    Tensor whole = tensor_exists(model->work.partial) ? model->work.partial : flight->h;
    embedding_forward(device, &model->embedding, whole, &flight->window);
    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_scatter(&model->sequence, TRAFFIC_ACTIVATIONS, flight->h, whole);
    phase_begin(device->times, PHASE_EMBEDDING);
    if (model->training) drop_embedding(model, &flight->window, flight->h);
    if (model->hook.call != NULL) model->hook.call(model->hook.context, &flight->window, flight->h);
}

/* From the gradient of h, which is used up. */
static void embed_backward(Model *model, Flight *flight)
{
    Device *device = model->device;
    phase_begin(device->times, PHASE_EMBEDDING);
    drop_embedding(model, &flight->window, flight->dh);
    Tensor whole = tensor_exists(model->work.partial) ? model->work.partial : flight->dh;
    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_gather(&model->sequence, TRAFFIC_ACTIVATIONS, whole, flight->dh);
    phase_begin(device->times, PHASE_EMBEDDING);
    embedding_backward(device, &model->embedding, whole, &flight->window);
}

/* Loss, and with training d(loss)/d(output of the last layer) in flight->dh. */
static void finish_loss(Model *model, Flight *flight)
{
    Device *device = model->device;
    bool pre = model->options.norm == NORM_PRE;
    Tensor none = tensor_none;

    phase_begin(device->times, PHASE_NORM);
    if (pre)
        layer_norm_forward(device, &flight->final_norm, flight->top, flight->last);
    else
        device_round(device, flight->top, flight->last);
    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_gather(&model->sequence, TRAFFIC_ACTIVATIONS, flight->whole_top, flight->top);
    phase_begin(device->times, PHASE_OUTPUT);
    if (model->training) device->op->fill(device, model->whole_dtop, 0.0);
    output_loss(device, &model->output, flight->nats, model->training ? model->whole_dtop : none,
                flight->whole_top, &flight->window);
    if (!model->training) return;

    phase_begin(device->times, PHASE_EXCHANGE);
    sequence_scatter(&model->sequence, TRAFFIC_ACTIVATIONS, model->dtop, model->whole_dtop);
    phase_begin(device->times, PHASE_NORM);
    if (pre) {
        device->op->fill(device, flight->dh, 0.0);
        layer_norm_backward(device, &flight->final_norm, flight->dh, model->dtop, flight->last);
    } else {
        device_copy(device, flight->dh, model->dtop);
    }
}

/* What layers share has been overwritten by other layers since this one's forward. */
static void recompute(Model *model, Flight *flight, int l, const AttentionInput *input)
{
    /* Not counted: an update's operations are those that training needs, however it is done. */
    PhaseTimes *times = model->device->times;
    double operations[PHASE_COUNT];
    if (times != NULL) memcpy(operations, times->operations, sizeof operations);
    TransformerLayer *layer = &flight->layers[l];
    if (model->place.recompute == RECOMPUTE_LAYER)
        transformer_layer_forward(model->device, layer, &model->work, input, &flight->window, true);
    if (model->place.recompute == RECOMPUTE_ATTENTION)
        attention_project_sources(model->device, &layer->attention, input, SOURCE_COUNT);
    if (times != NULL) memcpy(times->operations, operations, sizeof operations);
}

/* Begins the gather of a layer's memory, if there is such a layer. */
static void gather_layer(Model *model, const Flight *flight, int l)
{
    if (l < 0 || l >= model->place.layers) return;
    phase_begin(model->device->times, PHASE_MEMORY);
    gather_begin(&model->gather, &model->memory[l], &flight->marks[l]);
}

static MemoryView gathered(Model *model)
{
    phase_begin(model->device->times, PHASE_MEMORY);
    return gather_end(&model->gather);
}

void model_forward(Model *model, int number, const Window *window, int first_row, bool remember)
{
    Device *device = model->device;
    Flight *flight = &model->flights[number];
    PAL_ASSERT(window->rows == model->place.rows);
    keep_window(flight, window);
    mark_memory(model, flight, first_row);
    gather_layer(model, flight, 0);
    model_use_weights(model);
    if (model->place.has_embedding) embed(model, flight);

    for (int l = 0; l < model->place.layers; l++) {
        MemoryView view = gathered(model);
        AttentionInput input = model_attention_input(model, number, l, view);
        gather_layer(model, flight, l + 1);
        transformer_layer_forward(device, &flight->layers[l], &model->work, &input, &flight->window,
                                  model->training);
        if (model->layer_hook.call != NULL)
            model->layer_hook.call(model->layer_hook.context, number, l, &input);
        if (remember) remember_layer(model, number, l, view);
    }
    if (model->place.has_output) finish_loss(model, flight);
    phase_end(device->times);
}

/* The weights of positions get their gradients once an update, from what its windows have added
 * up. */
static void finish_layer(Model *model, int l, AfterLayer after_layer, void *context)
{
    attention_positions_backward(model->device, &model->flights[0].layers[l].attention,
                                 &model->work.attention);
    after_layer(context, l);
}

void model_backward(Model *model, int number, AfterLayer after_layer, void *context)
{
    Device *device = model->device;
    Flight *flight = &model->flights[number];
    const Window *window = &flight->window;
    gather_layer(model, flight, model->place.layers - 1);
    for (int l = model->place.layers - 1; l >= 0; l--) {
        MemoryView view = gathered(model);
        AttentionInput input = model_attention_input(model, number, l, view);
        gather_layer(model, flight, l - 1);
        recompute(model, flight, l, &input);
        Tensor dcompressed = bptt_begin(device, &model->bptt[l], &flight->marks[l], window);
        transformer_layer_backward(device, &flight->layers[l], &model->work, flight->dh,
                                   dcompressed, &input, window);
        phase_begin(device->times, PHASE_COMPRESSION);
        bptt_collect(device, &model->bptt[l], &model->compressors[l], &flight->marks[l], window);
        if (after_layer != NULL) finish_layer(model, l, after_layer, context);
    }
    if (model->place.has_embedding) embed_backward(model, flight);
    phase_end(device->times);
}

void model_finish_layers(Model *model, AfterLayer after_layer, void *context)
{
    for (int l = model->place.layers - 1; l >= 0; l--) finish_layer(model, l, after_layer, context);
    phase_end(model->device->times);
}

void model_remember(Model *model, int number)
{
    for (int l = 0; l < model->place.layers; l++) {
        gather_layer(model, &model->flights[number], l);
        remember_layer(model, number, l, gathered(model));
    }
    phase_end(model->device->times);
}

void model_begin_update(Model *model)
{
    model_use_weights(model);
    model->device->op->fill(model->device, model->parameters->gradient, 0.0);
    for (int l = 0; l < model->place.layers; l++) {
        model->compression_sums[l] = (LossSum){0};
        attention_begin_update(model->device, &model->flights[0].layers[l].attention);
    }
    phase_end(model->device->times);
}

void model_finish_update(Model *model)
{
    phase_begin(model->device->times, PHASE_COMPRESSION);
    for (int l = 0; l < model->place.layers; l++)
        bptt_finish(model->device, &model->bptt[l], &model->compressors[l]);
    phase_end(model->device->times);
}
