/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/compression.h"

static const Compression compressions[] = {
    [COMPRESSION_MEAN] = {false, pool_mean_compress, NULL},
    [COMPRESSION_MAX] = {false, pool_max_compress, NULL},
    [COMPRESSION_CONV] = {false, conv_compress, conv_compress_backward},
    [COMPRESSION_DILATED] = {false, dilated_compress, dilated_compress_backward},
    [COMPRESSION_MOST_USED] = {true, most_used_compress, NULL},
};

void compression_workspace_create(CompressionWorkspace *work, Arena *arena,
                                  const ModelOptions *options, int rows)
{
    int64_t window = options->window, width = options->width;
    int64_t fresh = window / options->compression_rate;
    *work = (CompressionWorkspace){0};
    work->evicted = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
    work->fresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, fresh, width);
    work->dfresh = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, fresh, width);

    if (options->compression == COMPRESSION_MOST_USED) {
        int64_t most = window;
        for (int l = 0; l < options->layers; l++)
            if (options->memory[l] > most) most = options->memory[l];
        work->usage = arena_tensor_2d(arena, PURPOSE_WORKSPACE, rows, window);
        work->source_usage = arena_tensor_2d(arena, PURPOSE_WORKSPACE, rows, most);
        size_t slots = (size_t)rows * (size_t)window;
        work->usage_on_host = arena_host(arena, PURPOSE_WORKSPACE, slots * sizeof(Real));
        work->slots = arena_host(arena, PURPOSE_WORKSPACE, (size_t)window * sizeof *work->slots);
        work->chosen = arena_host(arena, PURPOSE_WORKSPACE, slots * sizeof(int32_t));
    }
    if (options->compression == COMPRESSION_DILATED) {
        for (int i = 0; i < options->num_dilations; i++) {
            work->pairs[i] = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, 2 * width);
            work->stages[i] = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
        }
        work->dstage = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, width);
        work->dpairs = arena_tensor_3d(arena, PURPOSE_WORKSPACE, rows, window, 2 * width);
    }
}

void compressor_create(Compressor *compressor, const Parameters *parameters,
                       const ModelOptions *options, int layer, CompressionWorkspace *work)
{
    *compressor = (Compressor){
        .kind = &compressions[options->compression],
        .conv = parameters_get(parameters, "layers/%02d/compression/conv", layer),
        .num_dilations = options->num_dilations,
        .dilations = options->dilations,
        .work = work,
    };
    if (options->compression != COMPRESSION_DILATED) return;
    for (int i = 0; i < options->num_dilations; i++)
        compressor->dilated[i] =
            parameters_get(parameters, "layers/%02d/compression/dilated_%d", layer, i);
}
