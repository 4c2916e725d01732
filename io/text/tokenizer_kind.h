/* SPDX-License-Identifier: Apache-2.0
 *
 * What a kind of tokenizer provides (tokenizer.h).
 */
#ifndef PAL_IO_TOKENIZER_KIND_H
#define PAL_IO_TOKENIZER_KIND_H

#include "io/text/fields.h"
#include "io/text/tokenizer.h"

struct TokenizerKind {
    const char *name;
    bool needs_text; /* cannot do with what is not UTF-8 unless it is told to */
    /* Prepares tokenizer->state from tokenizer->model; unload accepts what was only begun. */
    Status (*load)(Tokenizer *, const char *where);
    void (*unload)(Tokenizer *);
    /* The encoder's own state, if it has any. */
    Status (*begin)(TextEncoder *);
    void (*end)(TextEncoder *);
    const char *field_ends; /* what cuts text into fields; NULL: encode_bytes takes it as it is */
    Status (*encode_bytes)(TextEncoder *, const uint8_t *bytes, size_t count);
    FieldVisitor encode_field; /* context: the encoder */
    /* token: [0, V) */
    const uint8_t *(*decode)(TextDecoder *, const Tokenizer *, int32_t token, size_t *count);
};

struct TextEncoder {
    const Tokenizer *tokenizer;
    bool keep_invalid;
    bool goes_on; /* the text's end, where it is visited, is not the end of its line */
    const char *path;
    int64_t offset;
    TokenList *out;
    Fields fields;
    bool in_line;   /* a field of this line came before */
    bool continues; /* the field before was cut */
    void *state;    /* the kind's own */
};

extern const TokenizerKind tokenizer_bytes, tokenizer_words, tokenizer_sentencepiece;

/* Local. Error (65) where the field that is being visited is not UTF-8 and has to be. */
Status text_encoder_check_text(const TextEncoder *encoder, const uint8_t *bytes, size_t count);

#endif
