/* SPDX-License-Identifier: Apache-2.0 */
#include "src/model/remember.h"

/* A partial window is the last of its document (or lane). With reset_memory = never its row
 * keeps what it has: padding never enters a memory. Otherwise the row is emptied before it is
 * read again. */
static void choose_rows(Flight *flight)
{
    const Window *window = &flight->window;
    for (int b = 0; b < window->rows; b++) flight->push[b] = window->counted[b] == window->length;
}

/* usage (B,T) of the evicted slots: those of the memory, then (M < T) those of the window. In a
 * tensor group the sum over its ranks' heads: only the order matters. */
static void measure_usage(Model *model, Flight *flight, int l, const AttentionInput *input)
{
    AttentionLayer *attention = &flight->layers[l].attention;
    CompressionWorkspace *work = &model->compression_work;
    Device *device = model->device;
    int64_t window = model->options.window, recent = memory_slots(&model->memory[l]);
    int64_t from_recent = recent < window ? recent : window;
    const struct {
        SourceKind kind;
        int64_t slots, taken;
    } parts[] = {{SOURCE_MEMORY, recent, from_recent},
                 {SOURCE_WINDOW, window, window - from_recent}};

    int64_t done = 0;
    for (int i = 0; i < 2; i++) {
        if (parts[i].taken == 0) continue;
        Tensor all = tensor_part_2d(work->source_usage, 0, model->place.rows, parts[i].slots);
        attention_usage(device, attention, all, parts[i].kind, input, &flight->window);
        device->op->copy_blocks(device, tensor_from(work->usage, done), window, all, parts[i].slots,
                                model->place.rows, parts[i].taken);
        done += parts[i].taken;
    }
    group_sum(model->sequence.group, TRAFFIC_COMPRESSION, tensor_reals(work->usage),
              tensor_count(work->usage));
}

/* Evicted slots to fresh ones, and what trains f_c. */
static void compress(Model *model, int number, int l, MemoryView view)
{
    Device *device = model->device;
    Flight *flight = &model->flights[number];
    const Compressor *compressor = &model->compressors[l];
    CompressionWorkspace *work = &model->compression_work;
    const LayerMemory *memory = &model->memory[l];

    phase_begin(device->times, PHASE_COMPRESSION);
    memory_evicted(device, work->evicted, view.recent, flight->layers[l].whole_a, work->reads);
    if (compressor->kind->uses_attention) {
        AttentionInput input = model_attention_input(model, number, l, view);
        measure_usage(model, flight, l, &input);
    }
    compressor->kind->forward(device, compressor, work->evicted);
    if (!model->measures_compression) return;

    phase_begin(device->times, PHASE_COMPRESSION_LOSS);
    CompressionLossInput input = {
        .attention = &flight->layers[l].attention,
        .memory = memory,
        .mark = &flight->marks[l],
        .compressor = compressor,
        .decoder = model->decoders[l],
        .window = &flight->window,
        .sequence = &model->sequence,
        .gradient = model->training,
    };
    model->compression_loss->apply(device, &model->loss_work, &input, &model->compression_sums[l]);
    if (!model->training) return;
    phase_begin(device->times, PHASE_COMPRESSION);
    compressor->kind->backward(device, compressor, work->evicted);
}

void remember_layer(Model *model, int number, int l, MemoryView view)
{
    Device *device = model->device;
    Flight *flight = &model->flights[number];
    LayerMemory *memory = &model->memory[l];
    const MemoryMark *mark = &flight->marks[l];
    choose_rows(flight);
    if (memory_compressed_slots(memory) > 0) compress(model, number, l, view);

    phase_begin(device->times, PHASE_MEMORY);
    bptt_push(device, &model->bptt[l], &model->compressors[l], mark, &flight->window, flight->push);
    memory_push(device, memory, mark, flight->layers[l].a, model->compression_work.fresh,
                flight->push);
}
