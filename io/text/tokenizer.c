/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "io/text/tokenizer_kind.h"
#include "io/text/utf8.h"

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

Status text_encoder_check_text(const TextEncoder *e, const uint8_t *bytes, size_t count)
{
    if (e->keep_invalid || !e->tokenizer->kind->needs_text) return PAL_OK;
    return utf8_check(bytes, count, e->path, e->offset + e->fields.passed);
}

/* --- decoding --------------------------------------------------------------------------------- */

const uint8_t *text_decoder_next(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                                 size_t *count)
{
    *count = 0;
    return tokenizer->kind->decode(decoder, tokenizer, token, count);
}
