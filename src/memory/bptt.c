/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/bptt.h"

#include "src/base/checked.h"

/* Blocks that one row group can have at once: those whose gradients are still gathering, and those
 * of windows whose own backward is still to come. */
static int blocks_per_group(const ModelOptions *options, const Placement *place)
{
    return options->bptt_windows + placement_windows_in_flight(place);
}

void bptt_create(Bptt *bptt, Arena *arena, const ModelOptions *options, const Placement *place,
                 const Sequence *sequence, const CompressionWorkspace *work, int layer)
{
    *bptt = (Bptt){.sequence = sequence};
    int64_t slots = options->compressed_memory[layer];
    if (options->compression_loss != COMPRESSION_LOSS_TASK || slots == 0) return;

    int64_t width = options->width, rows = place->rows;
    int num_blocks = blocks_per_group(options, place) * place->row_groups;
    bptt->blocks =
        arena_host(arena, PURPOSE_WORKSPACE, checked_size(num_blocks) * sizeof *bptt->blocks);
    bptt->dcompressed = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, slots, width);
    bptt->dpart = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, work->makes.count, width);
    bptt->dblock = sequence_whole(sequence, arena, PURPOSE_WORKSPACE, bptt->dpart);
    if (bptt->blocks == NULL) return;
    bptt->windows = options->bptt_windows;
    bptt->num_blocks = num_blocks;
    for (int i = 0; i < num_blocks; i++) {
        BpttBlock *block = &bptt->blocks[i];
        block->number =
            arena_host(arena, PURPOSE_WORKSPACE, checked_size(rows) * sizeof *block->number);
        block->evicted = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows,
                                        work->reads.count, width);
        block->dfresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, work->makes.count, width);
    }
}

/* Whether the window can have seen this block. */
static bool is_earlier(const BpttBlock *block, const MemoryMark *mark, const Window *window)
{
    return block->used && block->first_row == mark->first_row && block->window < window->index;
}

Tensor bptt_begin(Device *device, Bptt *bptt, const MemoryMark *mark, const Window *window)
{
    bool any = false;
    for (int i = 0; i < bptt->num_blocks; i++)
        any = any || is_earlier(&bptt->blocks[i], mark, window);
    if (!any) return tensor_none;
    device->op->fill(device, bptt->dcompressed, 0.0);
    return bptt->dcompressed;
}

/* One row's slots of one block, wherever they stood in what the window saw: n (shift + 1) slots
 * before the end. What had left the memory, or was emptied, gets no gradient. */
static void collect_row(Device *device, const Bptt *bptt, const BpttBlock *block,
                        const MemoryMark *mark, int64_t row)
{
    int64_t slots = bptt->dcompressed.dims[1], width = bptt->dcompressed.dims[2];
    int64_t fresh = bptt->dblock.dims[1], shift = mark->pushed[row] - block->number[row] - 1;
    if (block->number[row] < 0) return;
    int64_t start = slots - fresh * (shift + 1), first_held = slots - mark->held_compressed[row];
    int64_t gone = start < first_held ? first_held - start : 0;
    if (gone >= fresh) return;
    device->op->copy_blocks(device, tensor_from(bptt->dblock, (row * fresh + gone) * width), 0,
                            tensor_from(bptt->dcompressed, (row * slots + start + gone) * width), 0,
                            1, (fresh - gone) * width);
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

void bptt_collect(Device *device, Bptt *bptt, const Compressor *compressor, const MemoryMark *mark,
                  const Window *window)
{
    for (int i = 0; i < bptt->num_blocks; i++) {
        BpttBlock *block = &bptt->blocks[i];
        if (!is_earlier(block, mark, window)) continue;
        device->op->fill(device, bptt->dblock, 0.0);
        for (int64_t row = 0; row < mark->rows; row++) collect_row(device, bptt, block, mark, row);
        sequence_scatter(bptt->sequence, TRAFFIC_COMPRESSION, bptt->dpart, bptt->dblock);
        device->op->add(device, block->dfresh, bptt->dpart);
        if (window->index - block->window == bptt->windows) retire(device, block, compressor);
    }
}

static BpttBlock *free_block(Bptt *bptt)
{
    for (int i = 0; i < bptt->num_blocks; i++)
        if (!bptt->blocks[i].used) return &bptt->blocks[i];
    return NULL;
}

void bptt_push(Device *device, Bptt *bptt, const Compressor *compressor, const MemoryMark *mark,
               const Window *window, const bool *push)
{
    if (bptt->windows == 0) return;
    BpttBlock *block = free_block(bptt);
    PAL_ASSERT(block != NULL);
    block->used = true;
    block->window = window->index;
    block->first_row = mark->first_row;
    for (int row = 0; row < mark->rows; row++)
        block->number[row] = push[row] ? mark->pushed[row] : -1;
    device_copy(device, block->evicted, compressor->work->evicted);
    device->op->fill(device, block->dfresh, 0.0);
}

void bptt_finish(Device *device, Bptt *bptt, const Compressor *compressor)
{
    for (int i = 0; i < bptt->num_blocks; i++)
        if (bptt->blocks[i].used) retire(device, &bptt->blocks[i], compressor);
}
