/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to the memories after a window (Rae et al. 2019, Algorithm 1, lines 7 to 12).
 */
#include "src/model/model.h"

/* A partial window is the last of its document (or lane). With reset_memory = never its row
 * keeps what it has: padding never enters a memory. Otherwise the row is emptied before it is
 * read again. */
static void choose_rows(Model *model, const Window *window)
{
    for (int b = 0; b < model->rows; b++) model->push[b] = window->counted[b] == window->length;
}

/* usage (B,T) of the evicted slots: those of the memory, then (M < T) those of the window. */
static void measure_usage(Model *model, int l, const Window *window)
{
    TransformerLayer *layer = &model->layers[l];
    LayerMemory *memory = &model->memory[l];
    AttentionInput input = model_attention_input(model, l);
    CompressionWorkspace *work = &model->compression_work;
    Device *device = model->device;
    int64_t slots[] = {memory->slots, memory->window};
    int64_t from_recent = memory->slots < memory->window ? memory->slots : memory->window;
    int64_t taken[] = {from_recent, memory->window - from_recent};
    SourceKind kinds[] = {SOURCE_MEMORY, SOURCE_WINDOW};

    for (int i = 0, done = 0; i < 2; done += (int)taken[i], i++) {
        if (taken[i] == 0) continue;
        Tensor all = tensor_2d(work->source_usage.data, model->rows, slots[i]);
        attention_usage(device, &layer->attention, all, kinds[i], &input, window);
        device->op->copy_blocks(device, work->usage.data + done, memory->window, all.data, slots[i],
                                model->rows, taken[i]);
    }
}

/* Evicted slots to fresh ones, and what trains f_c. */
static void compress(Model *model, int l, const Window *window)
{
    Device *device = model->device;
    const Compressor *compressor = &model->compressors[l];
    CompressionWorkspace *work = &model->compression_work;

    phase_begin(device->times, PHASE_COMPRESSION);
    memory_evicted(device, &model->memory[l], work->evicted, model->memory[l].recent,
                   model->layers[l].a);
    if (compressor->kind->uses_attention) measure_usage(model, l, window);
    compressor->kind->forward(device, compressor, work->evicted);
    if (!model->training || model->compression_loss->apply == NULL) return;

    phase_begin(device->times, PHASE_COMPRESSION_LOSS);
    CompressionLossInput input = {
        .attention = &model->layers[l].attention,
        .memory = &model->memory[l],
        .compressor = compressor,
        .decoder = model->decoders[l],
        .window = window,
    };
    model->compression_loss->apply(device, &model->loss_work, &input, &model->compression_sums[l]);
    phase_begin(device->times, PHASE_COMPRESSION);
    compressor->kind->backward(device, compressor, work->evicted);
}

void model_remember(Model *model, const Window *window)
{
    Device *device = model->device;
    choose_rows(model, window);
    for (int l = 0; l < model->options.layers; l++) {
        bool compressed = model->options.compressed_memory[l] > 0;
        if (compressed) compress(model, l, window);

        phase_begin(device->times, PHASE_MEMORY);
        if (compressed) bptt_push(device, &model->bptt[l], &model->compressors[l], model->push);
        memory_push(device, &model->memory[l], model->layers[l].a,
                    compressed ? model->compression_work.fresh : tensor_none, model->push);
    }
    phase_end(device->times);
}
