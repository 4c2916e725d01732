/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tokenizer is, as data files and checkpoints keep it, so that whoever has one of them needs
 * nothing else. io/text/tokenizer.h makes tokens with it.
 *
 * In a file: the root attributes `tokenizer` (its kind), `vocabulary`, `document_token`, and the
 * dataset /tokenizer/model (uint8), which is not there where nothing had to be learned.
 */
#ifndef PAL_IO_TOKENIZER_MODEL_H
#define PAL_IO_TOKENIZER_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "io/h5_file.h"
#include "src/base/status.h"

enum { PAL_KIND_SIZE = 24, PAL_MOST_TOKENS = 1 << 24 };

typedef struct TokenizerModel {
    char kind[PAL_KIND_SIZE]; /* "bytes", "words", "sentencepiece" */
    int vocabulary;           /* V: ids are 0 to V - 1 */
    int document_token;       /* the reserved token before a document's first */
    uint8_t *bytes;           /* (size) what was learned, owned; NULL: nothing */
    size_t size;
} TokenizerModel;

/* Local, on a file opened alone. */
Status tokenizer_model_write(H5File *file, const TokenizerModel *model);
/* Collective over the file's group. Errors (65): not there, or not possible. What was allocated is
 * the caller's also after a failure: tokenizer_model_free. */
Status tokenizer_model_read(H5File *file, TokenizerModel *model);
/* Local. Error: memory. */
Status tokenizer_model_copy(TokenizerModel *copy, const TokenizerModel *model);
void tokenizer_model_free(TokenizerModel *model);

/* Local. Equal for equal models, and only for them in all probability. */
int64_t tokenizer_model_checksum(const TokenizerModel *model);

#endif
