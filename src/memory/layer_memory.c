/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/layer_memory.h"

static int min_int(int a, int b) { return a < b ? a : b; }
static int max_int(int a, int b) { return a > b ? a : b; }

void memory_create(LayerMemory *memory, Arena *arena, const ModelOptions *options, int layer,
                   int rows)
{
    *memory = (LayerMemory){
        .rows = rows,
        .window = options->window,
        .rate = options->compression_rate,
        .slots = options->memory[layer],
        .compressed_slots = options->compressed_memory[layer],
        .empty = options->empty_memory,
    };
    memory->recent = arena_tensor_3d(arena, PURPOSE_MEMORY, rows, memory->slots, options->width);
    memory->compressed =
        arena_tensor_3d(arena, PURPOSE_MEMORY, rows, memory->compressed_slots, options->width);
    memory->valid_recent = arena_host(arena, PURPOSE_DATA, (size_t)rows * sizeof(int));
    memory->valid_compressed = arena_host(arena, PURPOSE_DATA, (size_t)rows * sizeof(int));
    if (memory->empty == EMPTY_MASKED || memory->valid_compressed == NULL) return;
    for (int b = 0; b < rows; b++) {
        memory->valid_recent[b] = memory->slots;
        memory->valid_compressed[b] = memory->compressed_slots;
    }
}

void memory_empty_row(Device *device, LayerMemory *memory, int row)
{
    bool zeros = memory->empty == EMPTY_ZEROS;
    device->op->fill(device, tensor_slice(memory->recent, row, 1), 0.0);
    device->op->fill(device, tensor_slice(memory->compressed, row, 1), 0.0);
    memory->valid_recent[row] = zeros ? memory->slots : 0;
    memory->valid_compressed[row] = zeros ? memory->compressed_slots : 0;
}

void memory_evicted(Device *device, const LayerMemory *memory, Tensor evicted, Tensor recent,
                    Tensor a)
{
    int64_t width = evicted.dims[2], window = memory->window, slots = memory->slots;
    int64_t from_recent = min_int(memory->slots, memory->window);
    int64_t from_window = window - from_recent;

    device->op->copy_blocks(device, evicted.data, window * width, recent.data, slots * width,
                            memory->rows, from_recent * width);
    if (from_window > 0)
        device->op->copy_blocks(device, evicted.data + from_recent * width, window * width, a.data,
                                window * width, memory->rows, from_window * width);
}

int memory_valid_evicted(const LayerMemory *memory, int row)
{
    return max_int(0, memory->valid_recent[row] + memory->window - memory->slots);
}

int memory_valid_fresh(const LayerMemory *memory, int row)
{
    return memory_valid_evicted(memory, row) / memory->rate;
}

/* buffer (B,S,D) = [buffer ; entering (B,n,D)][-S:] for rows [first, first + count). */
static void push_rows(Device *device, Tensor buffer, Tensor entering, int64_t first, int64_t count)
{
    int64_t slots = buffer.dims[1], width = entering.dims[2], entered = entering.dims[1];
    int64_t kept = slots > entered ? slots - entered : 0, copied = slots - kept;
    Real *to = buffer.data + first * slots * width;
    const Real *from = entering.data + (first * entered + entered - copied) * width;

    device->op->copy_blocks(device, to, slots * width, to + copied * width, slots * width, count,
                            kept * width);
    device->op->copy_blocks(device, to + kept * width, slots * width, from, entered * width, count,
                            copied * width);
}

/* In runs of neighbouring rows that push, so that the usual case is one copy. */
static void push_all(Device *device, Tensor buffer, Tensor entering, const bool *push)
{
    if (buffer.dims[1] == 0) return;
    for (int64_t row = 0; row < buffer.dims[0];) {
        int64_t end = row;
        while (end < buffer.dims[0] && push[end]) end++;
        if (end > row) push_rows(device, buffer, entering, row, end - row);
        row = end + 1;
    }
}

void memory_push(Device *device, LayerMemory *memory, Tensor a, Tensor fresh, const bool *push)
{
    push_all(device, memory->recent, a, push);
    if (tensor_exists(fresh)) push_all(device, memory->compressed, fresh, push);

    for (int b = 0; b < memory->rows; b++) {
        if (!push[b] || memory->empty == EMPTY_ZEROS) continue;
        memory->valid_compressed[b] = min_int(
            memory->compressed_slots, memory->valid_compressed[b] + memory_valid_fresh(memory, b));
        memory->valid_recent[b] = min_int(memory->slots, memory->valid_recent[b] + memory->window);
    }
}
