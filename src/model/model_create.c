/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/checked.h"
#include "src/model/model.h"

/* The layers of this stage are counted from 0; this is the number among all. */
static int number_of(const Model *model, int l) { return model->place.first_layer + l; }

static Status take_lists(Model *model, Arena *arena)
{
    size_t layers = checked_size(model->place.layers), flights = checked_size(model->place.flights);
    model->flights = arena_host(arena, PURPOSE_DATA, flights * sizeof *model->flights);
    model->memory = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->memory);
    model->compressors = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->compressors);
    model->decoders = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->decoders);
    model->bptt = arena_host(arena, PURPOSE_DATA, layers * sizeof *model->bptt);
    model->compression_sums =
        arena_host(arena, PURPOSE_DATA, layers * sizeof *model->compression_sums);
    if (model->flights == NULL || model->memory == NULL || model->compressors == NULL ||
        model->decoders == NULL || model->bptt == NULL || model->compression_sums == NULL)
        return arena_seal(arena);
    return PAL_OK;
}

/* Copies of what backward reads of the window: the reader goes on while the micro-batch waits. */
static void take_window(Flight *flight, Arena *arena, const ModelOptions *options, int rows)
{
    size_t row_count = checked_size(rows), tokens = row_count * checked_size(options->window);
    flight->inputs = arena_host(arena, PURPOSE_DATA, tokens * sizeof(int32_t));
    flight->counted = arena_host(arena, PURPOSE_DATA, row_count * sizeof(int));
    flight->push = arena_host(arena, PURPOSE_DATA, row_count * sizeof(bool));
}

static void create_ends(Model *model, Arena *arena, Flight *flight)
{
    const ModelOptions *options = &model->options;
    const Placement *place = &model->place;
    int64_t rows = place->rows, width = options->width;
    int positions = placement_positions(place, options);
    if (model->training)
        flight->dh = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, rows, positions, width);
    if (!place->has_output) return;
    flight->nats = arena_tensor_2d(arena, PURPOSE_ACTIVATIONS, rows, options->window);
    flight->top = flight->last;
    if (options->norm == NORM_PRE)
        layer_norm_create(&flight->final_norm, arena, model->parameters, "final_norm", place->rows,
                          positions);
    if (options->norm == NORM_PRE || place->operands != NUMBER_FLOAT32)
        flight->top =
            arena_typed_3d(arena, PURPOSE_ACTIVATIONS, place->operands, rows, positions, width);
    flight->whole_top = sequence_whole(&model->sequence, arena, PURPOSE_ACTIVATIONS, flight->top);
}

static Status create_flight(Model *model, Arena *arena, int number)
{
    const Placement *place = &model->place;
    const ModelOptions *options = &model->options;
    Flight *flight = &model->flights[number];
    size_t layers = checked_size(place->layers);
    flight->layers = arena_host(arena, PURPOSE_DATA, layers * sizeof *flight->layers);
    flight->marks = arena_host(arena, PURPOSE_DATA, layers * sizeof *flight->marks);
    if (flight->layers == NULL || flight->marks == NULL) return arena_seal(arena);

    take_window(flight, arena, options, place->rows);
    Tensor h = arena_tensor_3d(arena, PURPOSE_ACTIVATIONS, place->rows,
                               placement_positions(place, options), options->width);
    flight->h = h;
    for (int l = 0; l < place->layers; l++) {
        transformer_layer_create(&flight->layers[l], arena, &model->positions, model->parameters,
                                 options, place, &model->sequence, &model->activations,
                                 number_of(model, l), h,
                                 number > 0 ? &model->flights[0].layers[l] : NULL, model->training);
        memory_mark_create(&flight->marks[l], arena, place->rows);
        h = flight->layers[l].next;
    }
    flight->last = h;
    create_ends(model, arena, flight);
    return PAL_OK;
}

static void create_layer(Model *model, Arena *arena, int l)
{
    const ModelOptions *options = &model->options;
    int number = number_of(model, l);
    int later_windows = model->training ? placement_windows_in_flight(&model->place) : 0;
    memory_create(&model->memory[l], arena, options, &model->place, number, later_windows);
    compressor_create(&model->compressors[l], model->parameters, options, number,
                      &model->compression_work);
    model->decoders[l] =
        parameters_get(model->parameters, "layers/%02d/compression/decoder", number);
    if (model->training)
        bptt_create(&model->bptt[l], arena, options, &model->place, &model->sequence,
                    &model->compression_work, number);
}

static bool compresses(const Model *model)
{
    for (int l = 0; l < model->place.layers; l++)
        if (model->options.compressed_memory[number_of(model, l)] > 0) return true;
    return false;
}

static void create_loss_workspace(Model *model, Arena *arena)
{
    compression_loss_workspace_create(&model->loss_work, arena, &model->options, &model->place,
                                      &model->compression_work, &model->sequence);
    model->measures_compression = model->compression_loss->apply != NULL;
}

void model_measure_compression(Model *model, Arena *arena)
{
    if (compresses(model) && !model->training) create_loss_workspace(model, arena);
}

static void create_workspaces(Model *model, Arena *arena)
{
    const ModelOptions *options = &model->options;
    const Placement *place = &model->place;
    int positions = placement_positions(place, options);
    layer_workspace_create(&model->work, arena, options, place, &model->sequence, model->training);
    gather_create(&model->gather, model->sequence.group, model->device, arena, options, place);
    if (compresses(model)) {
        compression_workspace_create(&model->compression_work, arena, options, place);
        if (model->training) create_loss_workspace(model, arena);
    }
    if (!model->training || !place->has_output) return;
    model->dtop = arena_tensor_3d(arena, PURPOSE_WORKSPACE, place->rows, positions, options->width);
    model->whole_dtop = sequence_whole(&model->sequence, arena, PURPOSE_WORKSPACE, model->dtop);
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static OperationSizes operation_sizes(const Model *model, const Arena *arena)
{
    const ModelOptions *options = &model->options;
    const Placement *place = &model->place;
    int64_t rows = (int64_t)place->rows * options->window;
    int64_t widest = larger(placement_feed_forward(place, options), 2 * (int64_t)options->width);
    return (OperationSizes){.rows = rows,
                            .width = options->width,
                            .columns = larger(widest, placement_most_tokens(place)),
                            .weight = parameters_largest(model->parameters),
                            .rounded = arena_largest(arena, NUMBER_BFLOAT16)};
}

/* What operations need beside their tensors, now rather than in the first window. */
static Status reserve_scratch(const Model *model, const Arena *arena)
{
    PAL_TRY(model->device->op->reserve(model->device, operation_sizes(model, arena)));
    const Window any = {0};
    const MemoryView no_view = {0};
    for (int l = 0; l < model->place.layers; l++) {
        const AttentionLayer *attention = &model->flights[0].layers[l].attention;
        AttentionInput input = model_attention_input(model, 0, l, no_view);
        AttentionQueries queries = attention_describe_queries(attention, &any, model->training);
        AttentionSource sources[SOURCE_COUNT];
        attention_describe_sources(attention, &input, sources);
        PAL_TRY(
            model->device->op->reserve_attention(model->device, &queries, sources, SOURCE_COUNT));
    }
    return PAL_OK;
}

Status model_create(Model *model, Device *device, Arena *arena, const ModelOptions *options,
                    const Placement *place, const Group *tensor, const Parameters *parameters,
                    bool training, bool keep_memory)
{
    *model = (Model){.options = *options,
                     .place = *place,
                     .device = device,
                     .parameters = parameters,
                     .training = training,
                     .keep_memory = keep_memory};
    PAL_ASSERT(tensor->size == place->tensor_parts && tensor->rank == place->tensor_part);
    if (parameters->table == NULL) return arena_seal(arena); /* says what was missing */
    PAL_TRY(take_lists(model, arena));
    model->compression_loss = compression_loss_find(options->compression_loss);
    embedding_create(&model->embedding, parameters, options, place, &model->cluster_work);
    sequence_create(&model->sequence, tensor, device, arena, place->rows, options->window,
                    options->width);
    activations_create(&model->activations, arena, options, place);
    for (int f = 0; f < place->flights; f++) PAL_TRY(create_flight(model, arena, f));
    create_workspaces(model, arena);
    for (int l = 0; l < place->layers; l++) create_layer(model, arena, l);
    if (place->has_embedding || place->has_output)
        cluster_work_create(&model->cluster_work, arena, options, place);
    if (place->has_output)
        output_create(&model->output, arena, parameters, options, place, tensor,
                      &model->cluster_work);
    size_t held = device->scratch_bytes;
    Status status = reserve_scratch(model, arena);
    if (status != PAL_ERROR_UNAVAILABLE) return status;
    arena_lacks(arena, device->scratch_bytes - held, "scratch of operations");
    return PAL_OK;
}
