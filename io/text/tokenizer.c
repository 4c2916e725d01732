/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "io/text/tokenizer_kind.h"

static const TokenizerKind *const kinds[] = {&tokenizer_bytes, &tokenizer_words,
                                             &tokenizer_sentencepiece};
const char *const tokenizer_names = "bytes, words or sentencepiece";

static const TokenizerKind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i]->name) == 0) return kinds[i];
    return NULL;
}

bool tokenizer_is_kind(const char *name) { return find_kind(name) != NULL; }

Status tokenizer_create(Tokenizer **tokenizer, TokenizerModel *model, const char *where)
{
    *tokenizer = NULL;
    Tokenizer *t = calloc(1, sizeof *t);
    const TokenizerKind *kind = find_kind(model->kind);
    Status status = PAL_OK;
    if (t == NULL) {
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", where);
    } else if (kind == NULL) {
        status = PAL_FAILURE(PAL_ERROR_DATA, "%s: its tokenizer '%s' is unknown, expected %s",
                             where, model->kind, tokenizer_names);
    } else {
        *t = (Tokenizer){.kind = kind, .model = *model};
        *model = (TokenizerModel){0};
        status = kind->load(t, where);
    }
    tokenizer_model_free(model);
    if (status == PAL_OK)
        *tokenizer = t;
    else if (t != NULL && t->kind != NULL)
        tokenizer_destroy(&t);
    else
        free(t);
    return status;
}

void tokenizer_destroy(Tokenizer **tokenizer)
{
    Tokenizer *t = *tokenizer;
    if (t == NULL) return;
    t->kind->unload(t);
    tokenizer_model_free(&t->model);
    free(t);
    *tokenizer = NULL;
}

/* --- lists ------------------------------------------------------------------------------------ */

Status token_list_add(TokenList *list, const int32_t *tokens, size_t count)
{
    if (count > list->room - list->count) {
        size_t room = 2 * list->room + count + 1024;
        int32_t *grown = realloc(list->tokens, room * sizeof *grown);
        if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu tokens", room);
        list->tokens = grown;
        list->room = room;
    }
    memcpy(list->tokens + list->count, tokens, count * sizeof *tokens);
    list->count += count;
    return PAL_OK;
}

void token_list_free(TokenList *list)
{
    free(list->tokens);
    *list = (TokenList){0};
}

/* --- encoding --------------------------------------------------------------------------------- */

Status text_encoder_create(TextEncoder **encoder, const Tokenizer *tokenizer, bool keep_invalid)
{
    *encoder = calloc(1, sizeof **encoder);
    if (*encoder == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    (*encoder)->tokenizer = tokenizer;
    (*encoder)->keep_invalid = keep_invalid;
    Status status = tokenizer->kind->begin != NULL ? tokenizer->kind->begin(*encoder) : PAL_OK;
    if (status != PAL_OK) text_encoder_destroy(encoder);
    return status;
}

void text_encoder_destroy(TextEncoder **encoder)
{
    if (*encoder == NULL) return;
    const TokenizerKind *kind = (*encoder)->tokenizer->kind;
    if (kind->end != NULL) kind->end(*encoder);
    free(*encoder);
    *encoder = NULL;
}

void text_encoder_begin(TextEncoder *e, const char *path, int64_t offset)
{
    const TokenizerKind *kind = e->tokenizer->kind;
    e->path = path;
    e->offset = offset;
    e->in_line = e->continues = false;
    if (kind->field_ends != NULL) fields_begin(&e->fields, kind->field_ends, kind->encode_field, e);
}

Status text_encoder_feed(TextEncoder *e, const uint8_t *bytes, size_t count, TokenList *out)
{
    const TokenizerKind *kind = e->tokenizer->kind;
    e->out = out;
    if (kind->field_ends == NULL) return kind->encode_bytes(e, bytes, count);
    return fields_feed(&e->fields, bytes, count);
}

Status text_encoder_end(TextEncoder *e, bool goes_on, TokenList *out)
{
    e->out = out;
    e->goes_on = goes_on;
    return e->tokenizer->kind->field_ends != NULL ? fields_end(&e->fields) : PAL_OK;
}

/* --- UTF-8 ------------------------------------------------------------------------------------ */

/* Bytes of the character that begins here; 0: none does. No overlong forms, no surrogates, nothing
 * above U+10FFFF. */
static size_t character_length(const uint8_t *b, size_t left)
{
    static const struct {
        uint8_t first, last, low, high; /* of the first byte; of the second one */
        size_t length;
    } forms[] = {
        {0x00, 0x7F, 0, 0, 1},       {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (b[0] < forms[i].first || b[0] > forms[i].last) continue;
        size_t length = forms[i].length;
        if (length > left) return 0;
        if (length > 1 && (b[1] < forms[i].low || b[1] > forms[i].high)) return 0;
        for (size_t k = 2; k < length; k++)
            if ((b[k] & 0xC0) != 0x80) return 0;
        return length;
    }
    return 0;
}

size_t utf8_valid_length(const uint8_t *bytes, size_t count)
{
    size_t valid = 0;
    while (valid < count) {
        size_t length = bytes[valid] < 0x80 ? 1 : character_length(bytes + valid, count - valid);
        if (length == 0) break;
        valid += length;
    }
    return valid;
}

Status text_encoder_check_text(const TextEncoder *e, const uint8_t *bytes, size_t count)
{
    if (e->keep_invalid || !e->tokenizer->kind->needs_text) return PAL_OK;
    size_t valid = utf8_valid_length(bytes, count);
    if (valid == count) return PAL_OK;
    PAL_FAIL(PAL_ERROR_DATA,
             "%s: is no UTF-8: byte %lld is 0x%02X, which cannot stand there; convert it (e.g. "
             "iconv -f LATIN1 -t UTF-8), or keep such bytes as they are with --keep-invalid",
             e->path, (long long)(e->offset + e->fields.passed + (int64_t)valid), bytes[valid]);
}

const uint8_t *text_decoder_next(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                                 size_t *count)
{
    *count = 0;
    return tokenizer->kind->decode(decoder, tokenizer, token, count);
}
