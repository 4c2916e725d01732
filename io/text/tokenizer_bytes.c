/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/tokenizer_kind.h"

enum { DOCUMENT_TOKEN = 256 };

static Status load(Tokenizer *tokenizer, const char *where)
{
    (void)tokenizer;
    (void)where;
    return PAL_OK;
}

static void unload(Tokenizer *tokenizer) { (void)tokenizer; }

static Status encode_bytes(TextEncoder *e, const uint8_t *bytes, size_t count)
{
    enum { PIECE = 4096 };
    int32_t tokens[PIECE];
    for (size_t done = 0; done < count;) {
        size_t n = count - done < PIECE ? count - done : PIECE;
        for (size_t i = 0; i < n; i++) tokens[i] = bytes[done + i];
        PAL_TRY(token_list_add(e->out, tokens, n));
        done += n;
    }
    return PAL_OK;
}

static const uint8_t *decode(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                             size_t *count)
{
    static uint8_t all[256];
    (void)decoder;
    (void)tokenizer;
    if (token >= DOCUMENT_TOKEN) return NULL;
    all[token] = (uint8_t)token;
    *count = 1;
    return &all[token];
}

const TokenizerKind tokenizer_bytes = {
    .name = "bytes",
    .load = load,
    .unload = unload,
    .encode_bytes = encode_bytes,
    .decode = decode,
};
