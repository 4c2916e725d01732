/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/compression_loss.h"

#include "src/base/checked.h"

static const CompressionLoss losses[] = {
    [COMPRESSION_LOSS_NONE] = {NULL},
    [COMPRESSION_LOSS_ATTENTION] = {attention_reconstruction},
    [COMPRESSION_LOSS_AUTOENCODING] = {autoencoding},
    [COMPRESSION_LOSS_TASK] = {NULL}, /* no auxiliary loss: bptt.h */
};

const CompressionLoss *compression_loss_find(CompressionLossKind kind) { return &losses[kind]; }

static void create_tensors(CompressionLossWorkspace *work, Arena *arena,
                           const ModelOptions *options, const Placement *place)
{
    int64_t rows = place->rows, window = options->window, width = placement_width(place, options);
    int64_t fresh = window / options->compression_rate, heads = placement_heads(place, options);
    Tensor *blocks[] = {&work->evicted_k, &work->evicted_v, &work->target, &work->prediction};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        *blocks[i] = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, window, width);
    Tensor *compressed[] = {&work->fresh_k, &work->fresh_v, &work->dfresh_k, &work->dfresh_v};
    for (size_t i = 0; i < sizeof compressed / sizeof compressed[0]; i++)
        *compressed[i] =
            arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, fresh, width);
    work->lse = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, heads, window);
    work->lse_fresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, heads, window);
}

void compression_loss_workspace_create(CompressionLossWorkspace *work, Arena *arena,
                                       const ModelOptions *options, const Placement *place,
                                       const CompressionWorkspace *compression,
                                       const Sequence *sequence)
{
    *work = (CompressionLossWorkspace){0};
    if (losses[options->compression_loss].apply == NULL) return;

    create_tensors(work, arena, options, place);
    work->fresh = sequence_whole(sequence, arena, PURPOSE_WORKSPACE, compression->fresh);
    work->dfresh = sequence_whole(sequence, arena, PURPOSE_WORKSPACE, compression->dfresh);

    size_t rows = checked_size(place->rows), ints = rows * sizeof(int);
    work->valid_evicted = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->valid_fresh = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->counted = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->mask = arena_host(arena, PURPOSE_WORKSPACE, rows * checked_size(options->window));
}
