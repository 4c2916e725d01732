/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a layer keeps what its backward needs. As a rule it has tensors of its own; with
 * train.recompute all layers share some or all of them, and backward computes them again first
 * (Chen et al. 2016; Korthikanti et al. 2022):
 *
 *     attention   keys and values of all sources: 2 (N + M + T) D numbers a row and layer
 *     layer       everything but the layer's input
 */
#ifndef PAL_LAYERS_ACTIVATIONS_H
#define PAL_LAYERS_ACTIVATIONS_H

#include "src/tensor/arena.h"
#include "src/tensor/placement.h"

typedef enum ActivationSlot {
    ACTIVATION_KEYS,                         /* of three sources */
    ACTIVATION_VALUES = ACTIVATION_KEYS + 3, /* likewise */
    ACTIVATION_QUERIES = ACTIVATION_VALUES + 3,
    ACTIVATION_ATTENDED, /* o */
    ACTIVATION_LSE,
    ACTIVATION_HIDDEN, /* of the feed-forward */
    ACTIVATION_BEFORE_GELU,
    ACTIVATION_A,
    ACTIVATION_WHOLE_A,
    ACTIVATION_SUM,
    ACTIVATION_B,
    ACTIVATION_WHOLE_B,
    ACTIVATION_NORMED,      /* post-norm: LN_1 in float32, where B is not */
    ACTIVATION_BEFORE_NORM, /* post-norm: what LN_2 reads */
    ACTIVATION_SLOTS
} ActivationSlot;

/* What layers share; none where each has its own. */
typedef struct Activations {
    Tensor shared[ACTIVATION_SLOTS];
    NumberType operands; /* of place->operands */
} Activations;

/* Local. Shared tensors for the largest layer of this stage, as place->recompute says. */
void activations_create(Activations *activations, Arena *arena, const ModelOptions *options,
                        const Placement *place);

/* Local. (a,b,c) of its own, or of the shared one. What products and attention read is of the number
 * type that place->operands says, all else float32. */
Tensor activations_take(const Activations *activations, ActivationSlot slot, Arena *arena,
                        int64_t a, int64_t b, int64_t c);

#endif
