/* SPDX-License-Identifier: Apache-2.0
 *
 * Which part of the model one rank holds (README of mpi): a range of layers (its pipeline stage), a
 * slice of heads, feed-forward columns, vocabulary and window positions (its place in the tensor
 * group), and some rows of the batch. A plain description; src/run makes it from the process grid.
 *
 *     P  ranks of the tensor group          p  this rank's place in it
 */
#ifndef PAL_TENSOR_PLACEMENT_H
#define PAL_TENSOR_PLACEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/clusters.h"
#include "src/tensor/dims.h"
#include "src/tensor/model_options.h"

/* What backward computes again instead of keeping it (layers/activations.h). */
typedef enum Recompute { RECOMPUTE_NONE, RECOMPUTE_ATTENTION, RECOMPUTE_LAYER } Recompute;

/* A range of the rows of a cluster's softmax; ranges of several ranks may differ in length. */
typedef struct TokenSlice {
    int64_t first, count;
} TokenSlice;

typedef struct Placement {
    int tensor_parts, tensor_part;  /* P, p */
    int first_layer, layers;        /* this stage's range of the L layers */
    bool has_embedding, has_output; /* first stage, last stage */
    int rows;                       /* B: rows of one micro-batch */
    int row_groups;                 /* micro-batches side by side: B row_groups rows in all */
    int flights;                    /* most micro-batches between their forward and backward */
    Recompute recompute;
    TokenSlice slices[PAL_MAX_CLUSTERS]; /* of the vocabulary: this rank's rows of each cluster */
    NumberType operands;                 /* how that is stored which products and attention read */
} Placement;

/* Everything on one rank: one micro-batch of `rows` rows a window. */
static inline Placement placement_whole(const ModelOptions *options, int rows)
{
    Placement place = {.tensor_parts = 1,
                       .layers = options->layers,
                       .has_embedding = true,
                       .has_output = true,
                       .rows = rows,
                       .row_groups = 1,
                       .flights = 1};
    for (int i = 0; i < model_clusters(options); i++)
        place.slices[i] = (TokenSlice){0, model_cluster(options, i).rows};
    return place;
}

/* T / P, D / P, H / P and F / P: what does not divide is refused with the configuration. */
static inline int placement_positions(const Placement *place, const ModelOptions *options)
{
    return options->window / place->tensor_parts;
}
static inline int placement_width(const Placement *place, const ModelOptions *options)
{
    return options->width / place->tensor_parts;
}
static inline int placement_heads(const Placement *place, const ModelOptions *options)
{
    return options->heads / place->tensor_parts;
}
static inline int placement_feed_forward(const Placement *place, const ModelOptions *options)
{
    return options->feed_forward / place->tensor_parts;
}

/* The most rows of a cluster that this rank has. */
static inline int64_t placement_most_tokens(const Placement *place)
{
    int64_t most = 0;
    for (int i = 0; i < PAL_MAX_CLUSTERS; i++)
        if (place->slices[i].count > most) most = place->slices[i].count;
    return most;
}

/* Of one row group: the most windows between their forward and backward. */
static inline int placement_windows_in_flight(const Placement *place)
{
    return (place->flights + place->row_groups - 1) / place->row_groups;
}

/* The first of this rank's positions of every window. */
static inline int placement_first_position(const Placement *place, const ModelOptions *options)
{
    return place->tensor_part * placement_positions(place, options);
}

#endif
