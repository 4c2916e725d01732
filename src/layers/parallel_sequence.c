/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/parallel_sequence.h"

void sequence_create(Sequence *sequence, const Group *group, Device *device, Arena *arena, int rows,
                     int length, int width)
{
    *sequence = (Sequence){.group = group, .device = device};
    if (group->size > 1)
        sequence->staging =
            arena_tensor_1d(arena, PURPOSE_WORKSPACE, (int64_t)rows * length * width);
}

Tensor sequence_whole(const Sequence *sequence, Arena *arena, Purpose purpose, Tensor part)
{
    if (sequence->group->size == 1) return part;
    return arena_tensor_3d(arena, purpose, part.dims[0], part.dims[1] * sequence->group->size,
                           part.dims[2]);
}

/* Blocks of n D numbers: in the whole (B, P n, D) rank after rank within a row, in a part (B, n, D)
 * row after row. */
static RankBlocks blocks_of_whole(Tensor whole, int64_t block)
{
    return (RankBlocks){whole.data, block, whole.dims[1] * whole.dims[2]};
}

void sequence_gather(const Sequence *sequence, TrafficKind kind, Tensor whole, Tensor part)
{
    const Group *group = sequence->group;
    int64_t rows = part.dims[0], block = part.dims[1] * part.dims[2];
    if (group->size == 1) return;
    group_exchange(group, kind, blocks_of_whole(whole, block), (RankBlocks){part.data, 0, block},
                   (int)rows, block);
    sequence->device->op->copy_blocks(sequence->device, whole.data + group->rank * block,
                                      group->size * block, part.data, block, rows, block);
}

void sequence_scatter(const Sequence *sequence, TrafficKind kind, Tensor part, Tensor whole)
{
    const Group *group = sequence->group;
    Device *device = sequence->device;
    int64_t rows = part.dims[0], block = part.dims[1] * part.dims[2];
    if (group->size == 1) return;
    Tensor received = tensor_2d(sequence->staging.data, group->size, rows * block);
    group_exchange(group, kind, (RankBlocks){received.data, rows * block, block},
                   blocks_of_whole(whole, block), (int)rows, block);
    /* A sum's order depends on the rank that computes it, and on nothing else. */
    device->op->copy_blocks(device, part.data, block, whole.data + group->rank * block,
                            group->size * block, rows, block);
    for (int p = 0; p < group->size; p++)
        if (p != group->rank)
            device->op->add(device, tensor_1d(part.data, rows * block),
                            tensor_1d(received.data + p * rows * block, rows * block));
}
