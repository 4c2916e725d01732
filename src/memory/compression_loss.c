/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/compression_loss.h"

static const CompressionLoss losses[] = {
    [COMPRESSION_LOSS_NONE] = {NULL},
    [COMPRESSION_LOSS_ATTENTION] = {attention_reconstruction},
    [COMPRESSION_LOSS_AUTOENCODING] = {autoencoding},
    [COMPRESSION_LOSS_TASK] = {NULL}, /* no auxiliary loss: bptt.h */
};

const CompressionLoss *compression_loss_find(CompressionLossKind kind) { return &losses[kind]; }

void compression_loss_workspace_create(CompressionLossWorkspace *work, Arena *arena,
                                       const ModelOptions *options, int rows)
{
    *work = (CompressionLossWorkspace){0};
    if (losses[options->compression_loss].apply == NULL) return;

    int64_t window = options->window, width = options->width;
    int64_t fresh = window / options->compression_rate;
    Tensor *blocks[] = {&work->evicted_k, &work->evicted_v, &work->target, &work->prediction};
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        *blocks[i] = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
    Tensor *compressed[] = {&work->fresh_k, &work->fresh_v, &work->dfresh_k, &work->dfresh_v};
    for (size_t i = 0; i < sizeof compressed / sizeof compressed[0]; i++)
        *compressed[i] = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, fresh, width);
    work->lse = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, options->heads, window);
    work->lse_fresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, options->heads, window);

    size_t ints = (size_t)rows * sizeof(int);
    work->valid_evicted = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->valid_fresh = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->counted = arena_host(arena, PURPOSE_WORKSPACE, ints);
    work->mask = arena_host(arena, PURPOSE_WORKSPACE, (size_t)rows * (size_t)window);
}
