/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to tokens and back.
 *
 *     bytes           a token is a byte; <doc> is 256
 *     words           a token is a word between white space, or <eos>, which ends every line; what
 *                     is not in the vocabulary is <unk>. Ids fall with the words' frequency in the
 *                     training split (for the adaptive softmax); <doc> is the last id
 *     sentencepiece   subwords (Kudo & Richardson 2018): each line is encoded with a space in front,
 *                     and ends with the token of the byte '\n'. Bytes that the model cannot give back
 *                     exactly (invalid UTF-8, U+2581, characters it has not seen) are byte tokens
 *
 * Tokens of a line do not depend on other lines. Decoding gives back the bytes exactly, but for
 * words: there it gives the words with one space between and a line end for <eos>.
 *
 * A new tokenizer is one file with a TokenizerKind, and its row in tokenizer.c.
 */
#ifndef PAL_IO_TOKENIZER_H
#define PAL_IO_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tokenizer_model.h"
#include "src/base/status.h"

typedef struct TokenizerKind TokenizerKind;

typedef struct Tokenizer {
    const TokenizerKind *kind;
    TokenizerModel model; /* owned */
    void *state;          /* the kind's own */
} Tokenizer;

/* Local. Takes over the model, also on a failure. Error (65): the model is not of this kind, or
 * damaged; `where` names its file. */
Status tokenizer_create(Tokenizer **tokenizer, TokenizerModel *model, const char *where);
/* Local. Accepts NULL, sets NULL. */
void tokenizer_destroy(Tokenizer **tokenizer);

/* Local. Whether there is such a kind; and their names for messages: "bytes, words or ...". */
bool tokenizer_is_kind(const char *name);
extern const char *const tokenizer_names;

/* Tokens, in memory that grows. {0} is an empty list. */
typedef struct TokenList {
    int32_t *tokens;
    size_t count, room;
} TokenList;

/* Local. Error: memory. */
Status token_list_add(TokenList *list, const int32_t *tokens, size_t count);
void token_list_free(TokenList *list);

/* --- encoding --------------------------------------------------------------------------------- */

typedef struct TextEncoder TextEncoder;

/* Local. keep_invalid: bytes that are not UTF-8 are kept as they are; else they are an error where
 * the tokenizer needs text. The tokenizer outlives the encoder. */
Status text_encoder_create(TextEncoder **encoder, const Tokenizer *tokenizer, bool keep_invalid);
/* Local. Accepts NULL, sets NULL. */
void text_encoder_destroy(TextEncoder **encoder);
/* Local. A text begins, at the beginning of a line; `path` and `offset` (of its first byte) are for
 * messages, borrowed until it ends. */
void text_encoder_begin(TextEncoder *encoder, const char *path, int64_t offset);
/* Local. The next bytes of it; adds tokens to `out`. Errors: not UTF-8 (65), memory. */
Status text_encoder_feed(TextEncoder *encoder, const uint8_t *bytes, size_t count, TokenList *out);
/* Local. The text ends; with `goes_on` it is the beginning of one whose last line is not over. */
Status text_encoder_end(TextEncoder *encoder, bool goes_on, TokenList *out);

/* --- decoding --------------------------------------------------------------------------------- */

/* Where in a line the next token stands; {0} at the beginning of a text. */
typedef struct TextDecoder {
    bool in_line;
} TextDecoder;

/* Local. The bytes of the next token, valid until the tokenizer is destroyed; *count may be 0. Ids
 * are in [0, V). */
const uint8_t *text_decoder_next(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                                 size_t *count);

#endif
