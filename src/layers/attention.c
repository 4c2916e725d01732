/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/attention.h"

#include <math.h>

#include "src/layers/dropout.h"
#include "src/layers/linear.h"

static int64_t source_slots(const ModelOptions *options, int layer, SourceKind kind)
{
    const int64_t slots[SOURCE_COUNT] = {
        [SOURCE_COMPRESSED] = options->compressed_memory[layer],
        [SOURCE_MEMORY] = options->memory[layer],
        [SOURCE_WINDOW] = options->window,
    };
    return slots[kind];
}

static void find_weights(AttentionLayer *layer, const Parameters *parameters,
                         const ModelOptions *options, int number)
{
#define PAL_FIND(name) parameters_get(parameters, "layers/%02d/attention/" name, number)
    layer->query = PAL_FIND("query");
    layer->key = PAL_FIND("key");
    layer->value = PAL_FIND("value");
    layer->output = PAL_FIND("output");
    layer->output_bias = PAL_FIND("output_bias");
    layer->position = PAL_FIND("position");
    layer->content_bias = PAL_FIND("content_bias");
    layer->position_bias = PAL_FIND("position_bias");
    bool own = options->positions == POSITIONS_SEPARATE;
    layer->position_compressed = own ? PAL_FIND("position_compressed") : layer->position;
    layer->position_bias_compressed =
        own ? PAL_FIND("position_bias_compressed") : layer->position_bias;
#undef PAL_FIND
}

/* One axis' projected positions are the same in every window, so layers that differ in their window
 * alone share them. */
static void take_positions(AttentionLayer *layer, Arena *arena, PositionTables *tables,
                           const ModelOptions *options, NumberType type, int64_t width,
                           const AttentionLayer *like, bool training)
{
    PositionAxis recent = positions_recent(options, layer->layer);
    bool compressed = layer->compressed_axis.rows > 0;
    layer->sinusoids = positions_table(tables, arena, recent, type, options->width);
    if (compressed)
        layer->sinusoids_compressed =
            positions_table(tables, arena, layer->compressed_axis, type, options->width);
    if (like != NULL) {
        layer->r = like->r;
        layer->r_compressed = like->r_compressed;
        layer->dr = like->dr;
        layer->dr_compressed = like->dr_compressed;
        return;
    }
    int64_t compressed_rows = layer->compressed_axis.rows;
    layer->r = arena_typed_2d(arena, PURPOSE_POSITIONS, type, recent.rows, width);
    if (compressed)
        layer->r_compressed =
            arena_typed_2d(arena, PURPOSE_POSITIONS, type, compressed_rows, width);
    if (!training) return;
    layer->dr = arena_tensor_2d(arena, PURPOSE_POSITIONS, recent.rows, width);
    if (compressed)
        layer->dr_compressed = arena_tensor_2d(arena, PURPOSE_POSITIONS, compressed_rows, width);
}

void attention_create(AttentionLayer *layer, Arena *arena, PositionTables *tables,
                      const Parameters *parameters, const ModelOptions *options,
                      const Placement *place, const Activations *activations, int number,
                      const AttentionLayer *like, bool training)
{
    int heads = placement_heads(place, options);
    *layer = (AttentionLayer){
        .heads = heads,
        .first_head = heads * place->tensor_part,
        .layer = number,
        .dropout = options->attention_dropout,
        .compressed_axis = positions_compressed(options, number),
        .memory_slots = options->memory[number],
    };
    find_weights(layer, parameters, options, number);
    if (place->tensor_part != 0) layer->output_bias = weight_none;

    int64_t width = placement_width(place, options), window = options->window, rows = place->rows;
    take_positions(layer, arena, tables, options, place->operands, width, like, training);
    layer->q = activations_take(activations, ACTIVATION_QUERIES, arena, rows, window, width);
    layer->o = activations_take(activations, ACTIVATION_ATTENDED, arena, rows, window, width);
    layer->lse = activations_take(activations, ACTIVATION_LSE, arena, rows, heads, window);
    for (int s = 0; s < SOURCE_COUNT; s++) {
        int64_t slots = source_slots(options, number, (SourceKind)s);
        layer->k[s] = activations_take(activations, (ActivationSlot)(ACTIVATION_KEYS + s), arena,
                                       rows, slots, width);
        layer->v[s] = activations_take(activations, (ActivationSlot)(ACTIVATION_VALUES + s), arena,
                                       rows, slots, width);
    }
}

void attention_workspace_create(AttentionWorkspace *work, Arena *arena, const ModelOptions *options,
                                const Placement *place)
{
    int64_t width = placement_width(place, options), window = options->window, rows = place->rows;
    int64_t slots[SOURCE_COUNT] = {0}, positions = 0;
    NumberType type = place->operands;
    for (int l = place->first_layer; l < place->first_layer + place->layers; l++) {
        for (int s = 0; s < SOURCE_COUNT; s++) {
            int64_t here = source_slots(options, l, (SourceKind)s);
            if (here > slots[s]) slots[s] = here;
        }
        int64_t recent = positions_recent(options, l).rows;
        int64_t compressed = positions_compressed(options, l).rows;
        if (recent > positions) positions = recent;
        if (compressed > positions) positions = compressed;
    }
    work->dq = arena_typed_3d(arena, PURPOSE_WORKSPACE, type, rows, window, width);
    work->dout = arena_typed_3d(arena, PURPOSE_WORKSPACE, type, rows, window, width);
    for (int s = 0; s < SOURCE_COUNT; s++) {
        work->dk[s] = arena_typed_3d(arena, PURPOSE_WORKSPACE, type, rows, slots[s], width);
        work->dv[s] = arena_typed_3d(arena, PURPOSE_WORKSPACE, type, rows, slots[s], width);
    }
    if (type != NUMBER_FLOAT32)
        work->dr_rounded = arena_typed_2d(arena, PURPOSE_WORKSPACE, type, positions, width);
}

void attention_project_positions(Device *device, AttentionLayer *layer)
{
    linear_forward(device, layer->r, layer->sinusoids, layer->position, weight_none);
    if (tensor_exists(layer->r_compressed))
        linear_forward(device, layer->r_compressed, layer->sinusoids_compressed,
                       layer->position_compressed, weight_none);
}

AttentionQueries attention_describe_queries(const AttentionLayer *layer, const Window *window,
                                            bool training)
{
    int64_t width = layer->q.dims[2];
    return (AttentionQueries){
        .q = layer->q,
        .content_bias = layer->content_bias.value,
        .heads = layer->heads,
        .first_head = layer->first_head,
        .scale = 1.0 / sqrt((double)width / layer->heads), /* 1 / sqrt(E) */
        .counted = window->counted,
        .dropout_rate = training ? layer->dropout : 0.0,
        .dropout_stream = dropout_stream(window, DROPOUT_ATTENTION_WEIGHTS, layer->layer),
        .first_row = window->first_row,
    };
}

/* positions.h says which row of which table belongs to (query, slot). */
void attention_describe_sources(const AttentionLayer *layer, const AttentionInput *input,
                                AttentionSource sources[SOURCE_COUNT])
{
    int64_t compressed_slots = layer->k[SOURCE_COMPRESSED].dims[1];
    for (int s = 0; s < SOURCE_COUNT; s++)
        sources[s] = (AttentionSource){.k = layer->k[s],
                                       .v = layer->v[s],
                                       .r = layer->r,
                                       .position_bias = layer->position_bias.value,
                                       .row_stride = 1,
                                       .valid = input->valid[s]};
    sources[SOURCE_MEMORY].row_offset = layer->memory_slots;
    sources[SOURCE_WINDOW].causal = true;
    sources[SOURCE_COMPRESSED].r = layer->r_compressed;
    sources[SOURCE_COMPRESSED].position_bias = layer->position_bias_compressed.value;
    sources[SOURCE_COMPRESSED].row_stride = layer->compressed_axis.stride;
    sources[SOURCE_COMPRESSED].row_offset = layer->compressed_axis.stride * (compressed_slots - 1);
}

void attention_project_sources(Device *device, AttentionLayer *layer, const AttentionInput *input,
                               int num_sources)
{
    phase_begin(device->times, PHASE_PROJECTION);
    for (int s = 0; s < num_sources; s++) {
        linear_forward(device, layer->k[s], input->source[s], layer->key, weight_none);
        linear_forward(device, layer->v[s], input->source[s], layer->value, weight_none);
    }
}

void attention_forward(Device *device, AttentionLayer *layer, Tensor y, const AttentionInput *input,
                       const Window *window, bool training)
{
    phase_begin(device->times, PHASE_PROJECTION);
    linear_forward(device, layer->q, input->source[SOURCE_WINDOW], layer->query, weight_none);
    attention_project_sources(device, layer, input, SOURCE_COUNT);

    phase_begin(device->times, PHASE_ATTENTION_FORWARD);
    AttentionQueries queries = attention_describe_queries(layer, window, training);
    AttentionSource sources[SOURCE_COUNT];
    attention_describe_sources(layer, input, sources);
    device->op->attention_forward(device, layer->o, layer->lse, &queries, sources, SOURCE_COUNT);

    phase_begin(device->times, PHASE_PROJECTION);
    linear_forward(device, y, layer->o, layer->output, layer->output_bias);
}

/* The part of a workspace tensor that this layer needs, cleared for a backward that adds. */
static Tensor cleared(Device *device, Tensor work, Tensor like)
{
    PAL_ASSERT(like.type == work.type);
    like.data = work.data;
    device->op->fill(device, like, 0.0);
    return like;
}

static void prepare_gradients(Device *device, const AttentionLayer *layer, AttentionWorkspace *work,
                              AttentionQueries *queries, AttentionSource sources[SOURCE_COUNT])
{
    queries->dq = cleared(device, work->dq, layer->q);
    queries->dcontent_bias = layer->content_bias.gradient;
    for (int s = 0; s < SOURCE_COUNT; s++) {
        sources[s].dk = cleared(device, work->dk[s], layer->k[s]);
        sources[s].dv = cleared(device, work->dv[s], layer->v[s]);
        sources[s].dr = layer->dr;
        sources[s].dposition_bias = layer->position_bias.gradient;
    }
    sources[SOURCE_COMPRESSED].dr = layer->dr_compressed;
    sources[SOURCE_COMPRESSED].dposition_bias = layer->position_bias_compressed.gradient;
}

/* k = s Wk and v = s Wv of each source, q = a Wq */
static void projections_backward(Device *device, const AttentionLayer *layer, Tensor da,
                                 Tensor dcompressed, const AttentionQueries *queries,
                                 const AttentionSource sources[SOURCE_COUNT],
                                 const AttentionInput *input)
{
    const Tensor wanted[SOURCE_COUNT] = {[SOURCE_COMPRESSED] = dcompressed, [SOURCE_WINDOW] = da};
    for (int s = 0; s < SOURCE_COUNT; s++) {
        linear_backward(device, wanted[s], sources[s].dk, input->source[s], layer->key,
                        weight_none);
        linear_backward(device, wanted[s], sources[s].dv, input->source[s], layer->value,
                        weight_none);
    }
    linear_backward(device, da, queries->dq, input->source[SOURCE_WINDOW], layer->query,
                    weight_none);
}

void attention_backward(Device *device, AttentionLayer *layer, AttentionWorkspace *work, Tensor da,
                        Tensor dcompressed, Tensor dy, const AttentionInput *input,
                        const Window *window)
{
    /* y = o Wo + bo */
    phase_begin(device->times, PHASE_PROJECTION);
    Tensor dout = cleared(device, work->dout, layer->o);
    linear_backward(device, dout, dy, layer->o, layer->output, layer->output_bias);

    /* o = softmax(logits) v */
    phase_begin(device->times, PHASE_ATTENTION_BACKWARD);
    AttentionQueries queries = attention_describe_queries(layer, window, true);
    AttentionSource sources[SOURCE_COUNT];
    attention_describe_sources(layer, input, sources);
    prepare_gradients(device, layer, work, &queries, sources);
    device->op->attention_backward(device, &queries, sources, SOURCE_COUNT, layer->o, layer->lse,
                                   dout);

    phase_begin(device->times, PHASE_PROJECTION);
    projections_backward(device, layer, da, dcompressed, &queries, sources, input);
}

void attention_begin_update(Device *device, AttentionLayer *layer)
{
    device->op->fill(device, layer->dr, 0.0);
    if (tensor_exists(layer->dr_compressed)) device->op->fill(device, layer->dr_compressed, 0.0);
}

static void positions_backward(Device *device, const AttentionWorkspace *work, Tensor dr,
                               Tensor sinusoids, Weight position)
{
    Tensor rounded = dr;
    if (tensor_exists(work->dr_rounded)) {
        rounded = tensor_slice(work->dr_rounded, 0, dr.dims[0]);
        device_round(device, rounded, dr);
    }
    linear_backward(device, tensor_none, rounded, sinusoids, position, weight_none);
}

void attention_positions_backward(Device *device, AttentionLayer *layer,
                                  const AttentionWorkspace *work)
{
    phase_begin(device->times, PHASE_POSITION);
    positions_backward(device, work, layer->dr, layer->sinusoids, layer->position);
    if (tensor_exists(layer->dr_compressed))
        positions_backward(device, work, layer->dr_compressed, layer->sinusoids_compressed,
                           layer->position_compressed);
}

void attention_usage(Device *device, AttentionLayer *layer, Tensor usage, SourceKind source,
                     const AttentionInput *input, const Window *window)
{
    AttentionQueries queries = attention_describe_queries(layer, window, false);
    AttentionSource sources[SOURCE_COUNT];
    attention_describe_sources(layer, input, sources);
    device->op->attention_usage(device, usage, &queries, &sources[source], layer->lse);
}
