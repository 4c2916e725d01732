/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/attention_measure.h"

#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"

enum {
    SAMPLE_NUMBERS = sizeof(AttentionSample) / sizeof(double),
    KEPT_BURSTS = 16 /* between two meetings of a pipeline's stages, which cost a round trip */
};

static int stage_layers(const AttentionMeasure *m) { return m->model->place.layers; }

static double *row_values(const AttentionMeasure *m, int layer, int b)
{
    return m->window + ((int64_t)layer * m->model->place.rows + b) * ATTENTION_BUCKETS;
}

/* The window's attention in one layer, by bucket. */
static void measure_layer(AttentionMeasure *m, const Flight *flight, int layer,
                          const AttentionInput *input)
{
    Device *device = m->model->device;
    AttentionLayer *attention = &flight->layers[layer].attention;
    for (int s = 0; s < SOURCE_COUNT; s++) {
        int64_t slots = attention->k[s].dims[1];
        if (slots == 0) continue;
        Tensor usage = tensor_part_2d(m->usage, 0, m->model->place.rows, slots);
        attention_usage(device, attention, usage, (SourceKind)s, input, &flight->window);
        device->op->download(device, m->weights, usage);
        for (int b = 0; b < m->model->place.rows; b++)
            attention_buckets_add(row_values(m, layer, b) + s * SEGMENT_BUCKETS,
                                  m->weights + b * slots, slots);
    }
}

/* Slots that are valid hold something only if a window of this document has come by. */
static bool is_full(const Model *model, const Flight *flight, int layer, int b)
{
    const LayerMemory *memory = &model->memory[layer];
    const MemoryMark *mark = &flight->marks[layer];
    return mark->held_recent[b] == memory_slots(memory) &&
           mark->held_compressed[b] == memory_compressed_slots(memory) &&
           mark->valid_compressed[b] == memory_compressed_slots(memory);
}

static void add_sample(AttentionMeasure *m, const Flight *flight, int b)
{
    double queries = flight->window.counted[b];
    AttentionSample *sample = &m->waiting[m->num_waiting++];
    *sample = (AttentionSample){.queries = m->grid->pipeline.rank == 0 ? queries : 0.0};
    for (int l = 0; l < stage_layers(m); l++) {
        const double *values = row_values(m, l, b);
        if (!is_full(m->model, flight, l, b)) continue;
        attention_sums_add(&m->sums[m->model->place.first_layer + l], values, queries);
        sample->full_layers += 1.0;
        for (int i = 0; i < ATTENTION_BUCKETS; i++) sample->values[i] += values[i];
    }
}

static void after_layer(void *context, int number, int layer, const AttentionInput *input)
{
    AttentionMeasure *m = context;
    const Flight *flight = &m->model->flights[number];
    const Group *tensor = &m->grid->tensor;
    int rows = m->model->place.rows, numbers = stage_layers(m) * rows * ATTENTION_BUCKETS;
    if (layer == 0) memset(m->window, 0, checked_size(numbers) * sizeof *m->window);
    measure_layer(m, flight, layer, input);
    if (layer + 1 < stage_layers(m)) return;

    group_sum_double(tensor, m->window, numbers); /* means over each rank's heads */
    for (int i = 0; i < numbers; i++) m->window[i] /= tensor->size;
    for (int b = 0; b < rows; b++)
        if (flight->window.counted[b] > 0) add_sample(m, flight, b);
}

static int64_t largest_segment(const Model *model)
{
    const ModelOptions *o = &model->options;
    int64_t most = o->window;
    for (int l = 0; l < o->layers; l++) {
        if (o->memory[l] > most) most = o->memory[l];
        if (o->compressed_memory[l] > most) most = o->compressed_memory[l];
    }
    return most;
}

void attention_measure_create(AttentionMeasure *m, const Grid *grid, Arena *arena, Model *model,
                              int micro_batches)
{
    int rows = model->place.rows;
    size_t layers = checked_size(model->options.layers), row_count = checked_size(rows);
    int64_t slots = largest_segment(model);
    *m = (AttentionMeasure){.grid = grid, .model = model, .burst = micro_batches * rows};
    m->room = KEPT_BURSTS * m->burst;
    m->usage = arena_tensor_2d(arena, PURPOSE_WORKSPACE, rows, slots);
    m->weights = arena_host(arena, PURPOSE_DATA, row_count * checked_size(slots) * sizeof(Real));
    m->window = arena_host(arena, PURPOSE_DATA,
                           checked_size(model->place.layers) * row_count * ATTENTION_BUCKETS *
                               sizeof(double));
    m->sums = arena_host(arena, PURPOSE_DATA, (layers + 1) * sizeof *m->sums);
    m->waiting = arena_host(arena, PURPOSE_DATA, checked_size(m->room) * sizeof *m->waiting);
    model->layer_hook = (LayerHook){after_layer, m};
}

void attention_measure_begin(AttentionMeasure *m)
{
    memset(m->sums, 0, checked_size(m->model->options.layers + 1) * sizeof *m->sums);
    m->num_waiting = 0;
}

void attention_measure_share(AttentionMeasure *m, bool all)
{
    int layers = m->model->options.layers;
    if (!all && m->num_waiting + m->burst <= m->room) return;
    group_sum_double(&m->grid->pipeline, (double *)m->waiting, m->num_waiting * SAMPLE_NUMBERS);
    for (int i = 0; i < m->num_waiting; i++) {
        AttentionSample *sample = &m->waiting[i];
        if ((int)sample->full_layers < layers) continue;
        for (int v = 0; v < ATTENTION_BUCKETS; v++) sample->values[v] /= layers;
        attention_sums_add(&m->sums[layers], sample->values, sample->queries);
    }
    m->num_waiting = 0;
}

void attention_measure_end(AttentionMeasure *m)
{
    int layers = m->model->options.layers;
    attention_measure_share(m, true);
    if (m->grid->pipeline.rank != 0) m->sums[layers] = (AttentionSums){0}; /* all stages have it */
    if (m->grid->tensor.rank != 0) attention_measure_begin(m); /* so have all of these */
    group_sum_double(&m->grid->world, (double *)m->sums, (layers + 1) * ATTENTION_SUMS);
}
