/* SPDX-License-Identifier: Apache-2.0
 *
 * Token embedding:  h = embedding[token] * sqrt(D).
 *
 * In a tensor group each rank has the rows of its slice of the vocabulary, and gives zeros for the
 * other tokens: the sum over the group is h.
 */
#ifndef PAL_LAYERS_EMBEDDING_H
#define PAL_LAYERS_EMBEDDING_H

#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

/* A slice of the table. */
typedef struct Embedding {
    Weight table; /* (V',D) */
    int64_t first_token;
} Embedding;

void embedding_forward(Device *device, const Embedding *embedding, Tensor h /* (B,T,D) */,
                       const Window *window);

/* Adds into the table's gradient. */
void embedding_backward(Device *device, const Embedding *embedding, Tensor dh,
                        const Window *window);

#endif
