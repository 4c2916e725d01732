/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads one document token by token and gives the logits of what may come next.
 *
 * A token fills the next position of the present window in the model's own activations: only its
 * own row of every layer is computed, against the keys and values of the positions before it.
 * Memory and window are those of training (Rae et al. 2019, Algorithm 1): a window enters the
 * memories when it is full and the next token comes, then a new one starts. Keys and values of both
 * memories are projected once per window.
 *
 *     decoder_begin(d);                   an empty memory
 *     decoder_read(d, tokens, count);     <doc> and the prompt, at the speed of whole windows
 *     ... d->logits ...                   choose a token
 *     decoder_read(d, &token, 1);         one step
 */
#ifndef PAL_MODEL_DECODER_H
#define PAL_MODEL_DECODER_H

#include "src/model/model.h"

typedef struct Decoder {
    Model *model;          /* borrowed; of one row, not training */
    int32_t *inputs;       /* (T) of the present window */
    int32_t *targets;      /* (T) all -1: nothing is counted */
    int counted;           /* tokens in the present window, 0 .. T */
    bool memory_projected; /* keys and values of the memories are current */
    Tensor lse;            /* (1,H,1) workspace */
    Real *logits;          /* (V) host: after the last token that was read */
} Decoder;

/* Takes its buffers from the arena, before it is sealed. */
void decoder_create(Decoder *decoder, Arena *arena, Model *model);

/* A new document, after model_start: empty memory, empty window. The weights are taken as they are
 * now; after a change of them, begin again. */
void decoder_begin(Decoder *decoder);

/* Reads count >= 1 tokens and sets decoder->logits. One token is one step; several are computed as
 * whole windows, each together with what its window holds already. */
void decoder_read(Decoder *decoder, const int32_t *tokens, int64_t count);

#endif
