/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/bptt.h"

void bptt_create(Bptt *bptt, Arena *arena, const ModelOptions *options, int layer, int rows)
{
    *bptt = (Bptt){0};
    int64_t slots = options->compressed_memory[layer];
    if (options->compression_loss != COMPRESSION_LOSS_TASK || slots == 0) return;

    int64_t window = options->window, width = options->width;
    bptt->blocks =
        arena_host(arena, PURPOSE_WORKSPACE, (size_t)options->bptt_windows * sizeof *bptt->blocks);
    bptt->dcompressed = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, slots, width);
    if (bptt->blocks == NULL) return;
    bptt->windows = options->bptt_windows;
    for (int i = 0; i < bptt->windows; i++) {
        BpttBlock *block = &bptt->blocks[i];
        block->shifts = arena_host(arena, PURPOSE_WORKSPACE, (size_t)rows * sizeof(int));
        block->evicted = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
        block->dfresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows,
                                        window / options->compression_rate, width);
    }
}

void bptt_empty_row(Bptt *bptt, int row)
{
    for (int i = 0; i < bptt->windows; i++) bptt->blocks[i].shifts[row] = -1;
}

static bool any_used(const Bptt *bptt)
{
    for (int i = 0; i < bptt->windows; i++)
        if (bptt->blocks[i].used) return true;
    return false;
}

Tensor bptt_begin(Device *device, Bptt *bptt)
{
    if (!any_used(bptt)) return tensor_none;
    device->op->fill(device, bptt->dcompressed, 0.0);
    return bptt->dcompressed;
}

/* One row's slots of one block, wherever they have moved to. The block stands n (shifts + 1) slots
 * before the end; what has left the memory, or never fitted, gets no gradient. */
static void collect_row(Device *device, const Bptt *bptt, BpttBlock *block, int64_t row)
{
    int64_t slots = bptt->dcompressed.dims[1], width = bptt->dcompressed.dims[2];
    int64_t fresh = block->dfresh.dims[1];
    int64_t start = slots - fresh * (block->shifts[row] + 1);
    int64_t gone = start < 0 ? -start : 0;
    if (block->shifts[row] < 0 || gone >= fresh) return;

    Tensor into = tensor_slice(tensor_as_matrix(block->dfresh), row * fresh + gone, fresh - gone);
    Tensor from = tensor_2d(bptt->dcompressed.data + (row * slots + start + gone) * width,
                            fresh - gone, width);
    device->op->add(device, into, from);
}

/* f_c is computed once more, since other blocks have used the workspace meanwhile. */
static void retire(Device *device, BpttBlock *block, const Compressor *compressor)
{
    CompressionWorkspace *work = compressor->work;
    compressor->kind->forward(device, compressor, block->evicted);
    device_copy(device, work->dfresh, block->dfresh);
    compressor->kind->backward(device, compressor, block->evicted);
    block->used = false;
}

void bptt_collect(Device *device, Bptt *bptt, const Compressor *compressor)
{
    for (int i = 0; i < bptt->windows; i++) {
        BpttBlock *block = &bptt->blocks[i];
        if (!block->used) continue;
        for (int64_t row = 0; row < bptt->dcompressed.dims[0]; row++)
            collect_row(device, bptt, block, row);
        if (++block->age == bptt->windows) retire(device, block, compressor);
    }
}

static BpttBlock *free_block(Bptt *bptt)
{
    for (int i = 0; i < bptt->windows; i++)
        if (!bptt->blocks[i].used) return &bptt->blocks[i];
    return NULL;
}

void bptt_push(Device *device, Bptt *bptt, const Compressor *compressor, const bool *push)
{
    if (bptt->windows == 0) return;
    int64_t rows = bptt->dcompressed.dims[0];
    for (int i = 0; i < bptt->windows; i++)
        for (int64_t row = 0; row < rows; row++)
            if (bptt->blocks[i].shifts[row] >= 0 && push[row]) bptt->blocks[i].shifts[row]++;

    /* A block that has received `windows` gradients is retired, so one of as many is free. */
    BpttBlock *block = free_block(bptt);
    PAL_ASSERT(block != NULL);
    block->used = true;
    block->age = 0;
    for (int64_t row = 0; row < rows; row++) block->shifts[row] = push[row] ? 0 : -1;
    device_copy(device, block->evicted, compressor->work->evicted);
    device->op->fill(device, block->dfresh, 0.0);
}

void bptt_finish(Device *device, Bptt *bptt, const Compressor *compressor)
{
    for (int i = 0; i < bptt->windows; i++)
        if (bptt->blocks[i].used) retire(device, &bptt->blocks[i], compressor);
}
