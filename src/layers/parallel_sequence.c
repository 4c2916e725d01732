/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/parallel_sequence.h"

void sequence_create(Sequence *sequence, const Group *group, Device *device, Arena *arena, int rows,
                     int length, int width)
{
    *sequence = (Sequence){.group = group, .device = device};
    if (group->size > 1 && rows > 1)
        sequence->staging =
            arena_tensor_1d(arena, PURPOSE_WORKSPACE, (int64_t)rows * length * width);
}

Tensor sequence_whole(const Sequence *sequence, Arena *arena, Purpose purpose, Tensor part)
{
    if (sequence->group->size == 1) return part;
    return arena_tensor_3d(arena, purpose, part.dims[0], part.dims[1] * sequence->group->size,
                           part.dims[2]);
}

/* Between (B, P n, D), as layers want it, and (P, B, n, D), as MPI moves it. */
static void copy_parts(const Sequence *sequence, Real *by_row, Real *by_rank, Tensor part,
                       bool to_rows)
{
    int64_t rows = part.dims[0], block = part.dims[1] * part.dims[2], ranks = sequence->group->size;
    for (int64_t p = 0; p < ranks; p++) {
        Real *in_rows = by_row + p * block, *in_ranks = by_rank + p * rows * block;
        if (to_rows)
            sequence->device->op->copy_blocks(sequence->device, in_rows, ranks * block, in_ranks,
                                              block, rows, block);
        else
            sequence->device->op->copy_blocks(sequence->device, in_ranks, block, in_rows,
                                              ranks * block, rows, block);
    }
}

void sequence_gather(const Sequence *sequence, TrafficKind kind, Tensor whole, Tensor part)
{
    if (sequence->group->size == 1) return;
    bool direct = part.dims[0] == 1;
    Real *by_rank = direct ? whole.data : sequence->staging.data;
    group_all_gather(sequence->group, kind, by_rank, part.data, tensor_count(part));
    if (!direct) copy_parts(sequence, whole.data, by_rank, part, true);
}

void sequence_scatter(const Sequence *sequence, TrafficKind kind, Tensor part, Tensor whole)
{
    if (sequence->group->size == 1) return;
    bool direct = part.dims[0] == 1;
    Real *by_rank = direct ? whole.data : sequence->staging.data;
    if (!direct) copy_parts(sequence, whole.data, by_rank, part, false);
    group_reduce_scatter(sequence->group, kind, part.data, by_rank, tensor_count(part));
}
