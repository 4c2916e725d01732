/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/compression.h"

#include "src/base/checked.h"

static const Compression compressions[] = {
    [COMPRESSION_MEAN] = {false, pool_mean_compress, NULL},
    [COMPRESSION_MAX] = {false, pool_max_compress, NULL},
    [COMPRESSION_CONV] = {false, conv_compress, conv_compress_backward},
    [COMPRESSION_DILATED] = {false, dilated_compress, dilated_compress_backward},
    [COMPRESSION_MOST_USED] = {true, most_used_compress, NULL},
};

/* Slots before this rank's own that f_c looks back to: all that a dilated stack sees. */
static int64_t look_back(const ModelOptions *options, int64_t first)
{
    int64_t reach = 0;
    if (options->compression == COMPRESSION_DILATED)
        for (int i = 0; i < options->num_dilations; i++) reach += options->dilations[i];
    return reach < first ? reach : first;
}

static void choose_ranges(CompressionWorkspace *work, const ModelOptions *options,
                          const Placement *place)
{
    int64_t window = options->window, own = placement_positions(place, options);
    int64_t first = placement_first_position(place, options), back = look_back(options, first);
    work->makes = (Range){first / options->compression_rate, own / options->compression_rate};
    work->reads = options->compression == COMPRESSION_MOST_USED ? (Range){0, window}
                                                                : (Range){first - back, back + own};
}

static void create_most_used(CompressionWorkspace *work, Arena *arena, const ModelOptions *options,
                             const Placement *place)
{
    int64_t window = options->window, most = window, rows = place->rows;
    for (int l = place->first_layer; l < place->first_layer + place->layers; l++)
        if (options->memory[l] > most) most = options->memory[l];
    work->usage = arena_tensor_2d(arena, PURPOSE_WORKSPACE, rows, window);
    work->source_usage = arena_tensor_2d(arena, PURPOSE_WORKSPACE, rows, most);
    work->usage_on_host = arena_host(arena, PURPOSE_WORKSPACE,
                                     checked_size(rows * window) * sizeof *work->usage_on_host);
    work->slots = arena_host(arena, PURPOSE_WORKSPACE, checked_size(window) * sizeof *work->slots);
    work->chosen = arena_host(arena, PURPOSE_WORKSPACE,
                              checked_size(rows * work->makes.count) * sizeof *work->chosen);
}

static void create_dilated(CompressionWorkspace *work, Arena *arena, const ModelOptions *options,
                           const Placement *place)
{
    int64_t rows = place->rows, read = work->reads.count, width = options->width;
    for (int i = 0; i < options->num_dilations; i++) {
        work->pairs[i] =
            arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, read, 2 * width);
        work->stages[i] =
            arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, read, width);
    }
    work->dstage = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, read, width);
    work->dpairs = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, read, 2 * width);
    int64_t own = placement_positions(place, options);
    if (read == own) return;
    work->tail = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, own, width);
    work->dtail = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, own, width);
}

void compression_workspace_create(CompressionWorkspace *work, Arena *arena,
                                  const ModelOptions *options, const Placement *place)
{
    *work = (CompressionWorkspace){0};
    choose_ranges(work, options, place);
    int64_t rows = place->rows, made = work->makes.count, width = options->width;
    work->evicted =
        arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, work->reads.count, width);
    work->fresh = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, made, width);
    work->dfresh = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, rows, made, width);
    if (options->compression == COMPRESSION_MOST_USED)
        create_most_used(work, arena, options, place);
    if (options->compression == COMPRESSION_DILATED) create_dilated(work, arena, options, place);
}

void compressor_create(Compressor *compressor, const Parameters *parameters,
                       const ModelOptions *options, int layer, CompressionWorkspace *work)
{
    *compressor = (Compressor){
        .kind = &compressions[options->compression],
        .conv = parameters_get(parameters, "layers/%02d/compression/conv", layer),
        .rate = options->compression_rate,
        .num_dilations = options->num_dilations,
        .dilations = options->dilations,
        .work = work,
    };
    if (options->compression != COMPRESSION_DILATED) return;
    for (int i = 0; i < options->num_dilations; i++)
        compressor->dilated[i] =
            parameters_get(parameters, "layers/%02d/compression/dilated_%d", layer, i);
}
