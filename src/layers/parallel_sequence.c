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
    return arena_typed_3d(arena, purpose, part.type, part.dims[0],
                          part.dims[1] * sequence->group->size, part.dims[2]);
}

/* Blocks of n D numbers: in the whole (B, P n, D) rank after rank within a row, in a part (B, n, D)
 * row after row. Messages count in words. */
static RankBlocks blocks_of(Tensor x, int64_t rank_stride, int64_t block_stride)
{
    int64_t numbers_of_word = (int64_t)(sizeof(Real) / number_size(x.type));
    return (RankBlocks){x.data, rank_stride / numbers_of_word, block_stride / numbers_of_word};
}

static void exchange(const Group *group, TrafficKind kind, RankBlocks receive, RankBlocks send,
                     Tensor part)
{
    int64_t words = tensor_count(tensor_as_words(tensor_slice(part, 0, 1)));
    group_exchange(group, kind, receive, send, (int)part.dims[0], words);
}

void sequence_gather(const Sequence *sequence, TrafficKind kind, Tensor whole, Tensor part)
{
    const Group *group = sequence->group;
    int64_t rows = part.dims[0], block = part.dims[1] * part.dims[2];
    if (group->size == 1) return;
    exchange(group, kind, blocks_of(whole, block, group->size * block), blocks_of(part, 0, block),
             part);
    sequence->device->op->copy_blocks(sequence->device,
                                      tensor_part_1d(whole, group->rank * block, block),
                                      group->size * block, part, block, rows, block);
}

void sequence_scatter(const Sequence *sequence, TrafficKind kind, Tensor part, Tensor whole)
{
    const Group *group = sequence->group;
    Device *device = sequence->device;
    int64_t rows = part.dims[0], block = part.dims[1] * part.dims[2];
    if (group->size == 1) return;
    Tensor received = sequence->staging;
    received.type = part.type;
    exchange(group, kind, blocks_of(received, rows * block, block),
             blocks_of(whole, block, group->size * block), part);
    /* A sum's order depends on the rank that computes it, and on nothing else. */
    device->op->copy_blocks(device, part, block, tensor_part_1d(whole, group->rank * block, block),
                            group->size * block, rows, block);
    for (int p = 0; p < group->size; p++)
        if (p != group->rank)
            device->op->add(device, tensor_part_1d(part, 0, rows * block),
                            tensor_part_1d(received, p * rows * block, rows * block));
}
