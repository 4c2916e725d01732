/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/activations.h"

#include "src/base/status.h"

static int64_t largest(const int *sizes, const Placement *place)
{
    int64_t most = 0;
    for (int l = place->first_layer; l < place->first_layer + place->layers; l++)
        if (sizes[l] > most) most = sizes[l];
    return most;
}

/* The residual stream and what follows from it are not read by products. */
static NumberType type_of(const Activations *activations, int slot)
{
    switch (slot) {
    case ACTIVATION_LSE:
    case ACTIVATION_SUM:
    case ACTIVATION_NORMED:
    case ACTIVATION_BEFORE_NORM: return NUMBER_FLOAT32;
    default: return activations->operands;
    }
}

static void share(Activations *activations, Arena *arena, int slot, const Placement *place,
                  int64_t b, int64_t c)
{
    activations->shared[slot] =
        arena_typed_3d(arena, PURPOSE_ACTIVATIONS, type_of(activations, slot), place->rows, b, c);
}

static void share_keys(Activations *activations, Arena *arena, const ModelOptions *options,
                       const Placement *place)
{
    int width = placement_width(place, options);
    const int64_t slots[] = {largest(options->compressed_memory, place),
                             largest(options->memory, place), options->window};
    for (int s = 0; s < 3; s++) {
        share(activations, arena, ACTIVATION_KEYS + s, place, slots[s], width);
        share(activations, arena, ACTIVATION_VALUES + s, place, slots[s], width);
    }
}

static void share_layer(Activations *activations, Arena *arena, const ModelOptions *options,
                        const Placement *place)
{
    int window = options->window, width = options->width,
        own_width = placement_width(place, options);
    int positions = placement_positions(place, options);
    int hidden = placement_feed_forward(place, options);
    bool group = place->tensor_parts > 1, rounds = place->operands != NUMBER_FLOAT32;
    const struct {
        ActivationSlot slot;
        bool wanted;
        int b, c;
    } rows[] = {
        {ACTIVATION_QUERIES, true, window, own_width},
        {ACTIVATION_ATTENDED, true, window, own_width},
        {ACTIVATION_LSE, true, placement_heads(place, options), window},
        {ACTIVATION_HIDDEN, true, window, hidden},
        {ACTIVATION_BEFORE_GELU, options->activation == ACTIVATION_GELU, window, hidden},
        {ACTIVATION_A, options->norm == NORM_PRE || rounds, positions, width},
        {ACTIVATION_WHOLE_A, group, window, width},
        {ACTIVATION_SUM, true, positions, width},
        {ACTIVATION_B, true, positions, width},
        {ACTIVATION_WHOLE_B, group, window, width},
        {ACTIVATION_NORMED, options->norm == NORM_POST && rounds, positions, width},
        {ACTIVATION_BEFORE_NORM, options->norm == NORM_POST, positions, width},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].wanted)
            share(activations, arena, (int)rows[i].slot, place, rows[i].b, rows[i].c);
}

void activations_create(Activations *activations, Arena *arena, const ModelOptions *options,
                        const Placement *place)
{
    *activations = (Activations){.operands = place->operands};
    if (place->recompute != RECOMPUTE_NONE) share_keys(activations, arena, options, place);
    if (place->recompute == RECOMPUTE_LAYER) share_layer(activations, arena, options, place);
}

Tensor activations_take(const Activations *activations, ActivationSlot slot, Arena *arena,
                        int64_t a, int64_t b, int64_t c)
{
    Tensor shared = activations->shared[slot];
    if (!tensor_exists(shared))
        return arena_typed_3d(arena, PURPOSE_ACTIVATIONS, type_of(activations, slot), a, b, c);
    PAL_ASSERT(a * b * c <= tensor_count(shared));
    return tensor_part_3d(shared, 0, a, b, c);
}
