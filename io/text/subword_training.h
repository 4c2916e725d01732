/* SPDX-License-Identifier: Apache-2.0
 *
 * Learning a SentencePiece model from a sample of the training split.
 *
 * The sample is parts of the text (text_parts.h) drawn at random, whole, until there are enough
 * bytes; the draw is fixed, so equal texts give equal models. A line is learned from with a space in
 * front of it, as it will be encoded; lines that are not UTF-8 are left out.
 */
#ifndef PAL_IO_SUBWORD_TRAINING_H
#define PAL_IO_SUBWORD_TRAINING_H

#include "io/text/text_parts.h"
#include "io/tokenizer_model.h"

typedef struct SubwordOptions {
    const char *algorithm; /* "unigram" or "bpe" */
    int64_t vocabulary;    /* V, with <unk>, <doc> and the 256 bytes */
    double sample_bytes;
} SubwordOptions;

/* Local. *model becomes the tokenizer, owned by the caller. Errors: the text does not have so many
 * subwords, or there is none (64, 65); of reading. */
Status learn_subwords(const TextParts *parts, const SubwordOptions *options, TokenizerModel *model);

#endif
