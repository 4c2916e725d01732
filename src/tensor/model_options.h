/* SPDX-License-Identifier: Apache-2.0
 *
 * The options that fix what the model computes (spec: model, sections 1 to 4). io/config fills them
 * from the [model] section; everything below reads them.
 */
#ifndef PAL_TENSOR_MODEL_OPTIONS_H
#define PAL_TENSOR_MODEL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { PAL_MAX_LAYERS = 256, PAL_MAX_DILATIONS = 8, PAL_MAX_CUTOFFS = 7 };

typedef enum Norm { NORM_PRE, NORM_POST } Norm;
typedef enum Activation { ACTIVATION_RELU, ACTIVATION_GELU } Activation;
typedef enum Positions { POSITIONS_SEPARATE, POSITIONS_CONTIGUOUS, POSITIONS_TEMPORAL } Positions;
typedef enum EmptyMemory { EMPTY_MASKED, EMPTY_ZEROS } EmptyMemory;
typedef enum CompressionKind {
    COMPRESSION_MEAN,
    COMPRESSION_MAX,
    COMPRESSION_CONV,
    COMPRESSION_DILATED,
    COMPRESSION_MOST_USED
} CompressionKind;
typedef enum CompressionLossKind {
    COMPRESSION_LOSS_NONE,
    COMPRESSION_LOSS_ATTENTION,
    COMPRESSION_LOSS_AUTOENCODING,
    COMPRESSION_LOSS_TASK
} CompressionLossKind;

typedef struct ModelOptions {
    int layers, width, heads, feed_forward; /* L, D, H, F */
    int vocabulary;                         /* V, from the data file */
    int window;                             /* T */
    int memory[PAL_MAX_LAYERS];             /* M of each layer */
    int compressed_memory[PAL_MAX_LAYERS];  /* N of each layer */
    int compression_rate;                   /* c */
    CompressionKind compression;
    CompressionLossKind compression_loss;
    int bptt_windows;
    int num_dilations, dilations[PAL_MAX_DILATIONS];
    Norm norm;
    Activation activation;
    Positions positions;
    EmptyMemory empty_memory;
    bool tie_embeddings;
    int num_cutoffs, cutoffs[PAL_MAX_CUTOFFS]; /* of clusters.h; none, or one 0: plain softmax */
    int adaptive_divisor;
    double dropout, attention_dropout;
} ModelOptions;

/* How many layers have compressed memory. */
static inline int model_compressing_layers(const ModelOptions *options)
{
    int count = 0;
    for (int l = 0; l < options->layers; l++) count += options->compressed_memory[l] > 0;
    return count;
}

/* The sum of M + c N over the layers: how many tokens back the model can reach. */
static inline int64_t model_temporal_range(const ModelOptions *options)
{
    int64_t range = 0;
    for (int l = 0; l < options->layers; l++)
        range +=
            options->memory[l] + (int64_t)options->compression_rate * options->compressed_memory[l];
    return range;
}

#endif
