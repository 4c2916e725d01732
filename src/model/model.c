/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/model.h"

#include "src/layers/embedding.h"

static Status take_lists(Model *model, Arena *arena)
{
    size_t layers = (size_t)model->options.layers;
    model->layers = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->layers);
    model->memory = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->memory);
    model->compressors = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->compressors);
    model->decoders = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->decoders);
    model->bptt = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->bptt);
    model->compression_sums =
        arena_host(arena, PURPOSE_DATA, layers * sizeof *model->compression_sums);
    model->push = arena_host(arena, PURPOSE_DATA, (size_t)model->rows);
    if (model->layers == NULL || model->memory == NULL || model->compressors == NULL ||
        model->decoders == NULL || model->bptt == NULL || model->compression_sums == NULL ||
        model->push == NULL)
        return arena_seal(arena);
    return PAL_OK;
}

static void create_layer(Model *model, Arena *arena, int l, Tensor h)
{
    const ModelOptions *options = &model->options;
    transformer_layer_create(&model->layers[l], arena, &model->positions, model->parameters,
                             options, l, model->rows, h);
    memory_create(&model->memory[l], arena, options, l, model->rows);
    compressor_create(&model->compressors[l], model->parameters, options, l,
                      &model->compression_work);
    model->decoders[l] = parameters_get(model->parameters, "layers/%02d/compression/decoder", l);
    if (model->training) bptt_create(&model->bptt[l], arena, options, l, model->rows);
}

static void create_workspaces(Model *model, Arena *arena)
{
    const ModelOptions *options = &model->options;
    int64_t rows = model->rows, window = options->window, width = options->width;
    if (model_compressing_layers(options) > 0) {
        compression_workspace_create(&model->compression_work, arena, options, model->rows);
        if (model->training)
            compression_loss_workspace_create(&model->loss_work, arena, options, model->rows);
    }
    if (!model->training) return;
    layer_workspace_create(&model->work, arena, options, model->rows);
    model->dh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
    if (options->norm == NORM_PRE)
        model->dtop = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
    else
        model->dtop = model->dh;
}

/* What attention needs beside its tensors, now rather than in the first window. */
static Status reserve_scratch(const Model *model)
{
    const Window any = {0};
    for (int l = 0; l < model->options.layers; l++) {
        const AttentionLayer *attention = &model->layers[l].attention;
        AttentionInput input = model_attention_input(model, l);
        AttentionQueries queries = attention_describe_queries(attention, &any, model->training);
        AttentionSource sources[SOURCE_COUNT];
        attention_describe_sources(attention, &input, sources);
        PAL_TRY(
            model->device->op->reserve_attention(model->device, &queries, sources, SOURCE_COUNT));
    }
    return PAL_OK;
}

Status model_create(Model *model, Device *device, Arena *arena, const ModelOptions *options,
                    const Parameters *parameters, int rows, bool training, bool keep_memory)
{
    *model = (Model){.options = *options,
                     .device = device,
                     .parameters = parameters,
                     .rows = rows,
                     .training = training,
                     .keep_memory = keep_memory};
    if (parameters->table == NULL) return arena_seal(arena); /* says what was missing */
    PAL_TRY(take_lists(model, arena));
    model->compression_loss = compression_loss_find(options->compression_loss);
    model->embedding = parameters_get(parameters, "embedding/table");

    int64_t window = options->window, width = options->width;
    model->h = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
    Tensor h = model->h;
    for (int l = 0; l < options->layers; l++) {
        create_layer(model, arena, l, h);
        h = model->layers[l].next;
    }

    model->top = h;
    if (options->norm == NORM_PRE) {
        layer_norm_create(&model->final_norm, arena, parameters, "final_norm", rows,
                          options->window);
        model->top = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, window, width);
    }
    model->nats = arena_tensor_2d(arena, PURPOSE_ACTIVATIONS, rows, window);
    output_create(&model->output, arena, parameters, options, rows);
    create_workspaces(model, arena);
    return reserve_scratch(model);
}

void model_start(Model *model) { positions_fill(&model->positions, model->device); }

void model_weights_changed(Model *model) { model->positions_current = false; }

AttentionInput model_attention_input(const Model *model, int layer)
{
    const LayerMemory *memory = &model->memory[layer];
    return (AttentionInput){
        .source = {[SOURCE_COMPRESSED] = memory->compressed,
                   [SOURCE_MEMORY] = memory->recent,
                   [SOURCE_WINDOW] = model->layers[layer].a},
        .valid = {[SOURCE_COMPRESSED] = memory->valid_compressed,
                  [SOURCE_MEMORY] = memory->valid_recent},
    };
}

static void empty_started_rows(Model *model, const Window *window)
{
    if (model->keep_memory) return;
    for (int row = 0; row < model->rows; row++) {
        if (!window->starts[row]) continue;
        for (int l = 0; l < model->options.layers; l++) {
            memory_empty_row(model->device, &model->memory[l], row);
            bptt_empty_row(&model->bptt[l], row);
        }
    }
}

static void project_positions(Model *model)
{
    if (model->positions_current) return;
    phase_begin(model->device->times, PHASE_POSITION);
    for (int l = 0; l < model->options.layers; l++)
        attention_project_positions(model->device, &model->layers[l].attention);
    model->positions_current = true;
}

/* Loss, and with training d(loss)/d(output of the last layer) in model->dh. */
static void output_part(Model *model, const Window *window)
{
    Device *device = model->device;
    bool pre = model->options.norm == NORM_PRE;
    Tensor last =
        model->options.layers > 0 ? model->layers[model->options.layers - 1].next : model->h;

    phase_begin(device->times, PHASE_NORM);
    if (pre) layer_norm_forward(device, &model->final_norm, model->top, last);
    phase_begin(device->times, PHASE_OUTPUT);
    if (model->training) device->op->fill(device, model->dtop, 0.0);
    output_loss(device, &model->output, model->nats, model->dtop, model->top, window);
    if (model->training && pre) {
        phase_begin(device->times, PHASE_NORM);
        device->op->fill(device, model->dh, 0.0);
        layer_norm_backward(device, &model->final_norm, model->dh, model->dtop, last);
    }
}

void model_forward(Model *model, const Window *window)
{
    Device *device = model->device;
    phase_begin(device->times, PHASE_MEMORY);
    empty_started_rows(model, window);
    project_positions(model);

    phase_begin(device->times, PHASE_EMBEDDING);
    embedding_forward(device, model->h, window, model->embedding,
                      model->training ? model->options.dropout : 0.0);
    for (int l = 0; l < model->options.layers; l++) {
        AttentionInput input = model_attention_input(model, l);
        transformer_layer_forward(device, &model->layers[l], &input, window, model->training);
    }
    output_part(model, window);
    phase_end(device->times);
}

void model_backward(Model *model, const Window *window)
{
    Device *device = model->device;
    for (int l = model->options.layers - 1; l >= 0; l--) {
        AttentionInput input = model_attention_input(model, l);
        Tensor dcompressed = bptt_begin(device, &model->bptt[l]);
        transformer_layer_backward(device, &model->layers[l], &model->work, model->dh, dcompressed,
                                   &input, window);
        phase_begin(device->times, PHASE_COMPRESSION);
        if (tensor_exists(dcompressed))
            bptt_collect(device, &model->bptt[l], &model->compressors[l]);
    }
    phase_begin(device->times, PHASE_EMBEDDING);
    embedding_backward(device, model->dh, window, model->embedding, model->options.dropout);
    phase_end(device->times);
}

void model_begin_update(Model *model)
{
    model->device->op->fill(model->device, model->parameters->gradient, 0.0);
    for (int l = 0; l < model->options.layers; l++) model->compression_sums[l] = (LossSum){0};
}

void model_finish_update(Model *model)
{
    phase_begin(model->device->times, PHASE_COMPRESSION);
    for (int l = 0; l < model->options.layers; l++)
        bptt_finish(model->device, &model->bptt[l], &model->compressors[l]);
    phase_end(model->device->times);
}
