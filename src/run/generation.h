/* SPDX-License-Identifier: Apache-2.0
 *
 * Continues a text. The document that the model reads is <doc>, the prompt, and what it has written
 * so far; all of it goes through window and memory as in training (src/model/decoder.h).
 *
 * <doc> is never a target in training, so its logit means nothing: it is never chosen, and a text has
 * as many tokens as were asked for. The random number of a token depends on the seed and on its place
 * in the document alone: a prompt continued by some tokens, given as prompt together with them, goes
 * on with the same text, if it is cut into the same tokens, as bytes are.
 */
#ifndef PAL_RUN_GENERATION_H
#define PAL_RUN_GENERATION_H

#include <stddef.h>
#include <stdio.h>

#include "io/text/tokenizer.h"
#include "src/model/decoder.h"
#include "src/run/sampling.h"
#include "src/run/session.h"

typedef struct GenerationOptions {
    SamplingOptions sampling;
    const char *prompt;   /* borrowed; any bytes */
    size_t prompt_length; /* bytes */
    int64_t tokens;       /* to write after the prompt */
    int64_t seed;
} GenerationOptions;

typedef struct Generation {
    Session *session; /* borrowed */
    Model model;
    Decoder decoder;
    Tokenizer *tokenizer;
    TokenList prompt;
    TextDecoder text;              /* where in a line the text stands */
    int32_t *chunk;                /* (T) tokens of the prompt on their way to the decoder */
    SamplingCandidate *candidates; /* (V) */
} Generation;

/* Local. Takes memory from the session's arena, before it is sealed; `model` is copied.
 * generation_destroy is due in any case. Errors (65): the tokenizer is damaged, or the weights are of
 * another vocabulary. */
Status generation_create(Generation *generation, Session *session, const Parameters *parameters,
                         const TokenizerModel *model);
/* Local. */
void generation_destroy(Generation *generation);

/* Local, after the arena was sealed and the weights were read. */
void generation_start(Generation *generation);

/* Local. Writes the prompt and its continuation to `out`, token by token.
 * Errors: `out` cannot be written (74); the model's logits are not numbers (65). */
Status generation_run(Generation *generation, const GenerationOptions *options, FILE *out);

#endif
