/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "io/tokenizer_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MODEL "/tokenizer/model"
enum { LARGEST_MODEL = 1 << 30 };

Status tokenizer_model_write(H5File *file, const TokenizerModel *model)
{
    PAL_TRY(h5_set_text(file, "/", "tokenizer", model->kind));
    PAL_TRY(h5_set_integer(file, "/", "vocabulary", model->vocabulary));
    PAL_TRY(h5_set_integer(file, "/", "document_token", model->document_token));
    if (model->size == 0) return PAL_OK;
    return h5_write(file, MODEL, STORED_UINT8, (Shape){1, {(int64_t)model->size}}, model->bytes);
}

/* Ids of the bytes tokenizer are fixed. */
static Status check_bytes(const H5File *file, const TokenizerModel *model)
{
    enum { VOCABULARY = 257, DOCUMENT_TOKEN = 256 };
    bool bytes = strcmp(model->kind, "bytes") == 0;
    if (bytes && (model->vocabulary != VOCABULARY || model->document_token != DOCUMENT_TOKEN))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: vocabulary %d with document token %d, expected %d and %d with tokenizer "
                 "'bytes'; prepare the data again",
                 h5_path(file), model->vocabulary, model->document_token, VOCABULARY,
                 DOCUMENT_TOKEN);
    return PAL_OK;
}

static Status read_bytes(H5File *file, TokenizerModel *model)
{
    bool has = false;
    PAL_TRY(h5_has(file, MODEL, &has));
    if (!has) return PAL_OK;
    Shape shape;
    PAL_TRY(h5_shape(file, MODEL, &shape));
    if (shape.num_dims != 1 || shape.dims[0] < 1 || shape.dims[0] > LARGEST_MODEL)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s is no list of 1 to %d bytes", h5_path(file), MODEL,
                 LARGEST_MODEL);
    model->size = (size_t)shape.dims[0];
    model->bytes = malloc(model->size);
    PAL_TRY(h5_agree(file, model->bytes != NULL ? PAL_OK
                                                : PAL_FAILURE(PAL_ERROR_UNAVAILABLE,
                                                              "%s: out of memory", h5_path(file))));
    return h5_read(file, MODEL, STORED_UINT8, shape, model->bytes);
}

Status tokenizer_model_read(H5File *file, TokenizerModel *model)
{
    int64_t vocabulary, document_token;
    char *kind = NULL;
    *model = (TokenizerModel){0};
    PAL_TRY(h5_get_text(file, "/", "tokenizer", &kind));
    bool fits = strlen(kind) < sizeof model->kind;
    snprintf(model->kind, sizeof model->kind, "%s", kind);
    free(kind);
    if (!fits)
        PAL_FAIL(PAL_ERROR_DATA, "%s: its tokenizer '%s...' is unknown", h5_path(file),
                 model->kind);
    PAL_TRY(h5_get_integer(file, "/", "vocabulary", &vocabulary));
    PAL_TRY(h5_get_integer(file, "/", "document_token", &document_token));
    if (vocabulary < 1 || vocabulary > PAL_MOST_TOKENS || document_token < 0 ||
        document_token >= vocabulary)
        PAL_FAIL(PAL_ERROR_DATA, "%s: vocabulary %lld with document token %lld is not possible",
                 h5_path(file), (long long)vocabulary, (long long)document_token);
    model->vocabulary = (int)vocabulary;
    model->document_token = (int)document_token;
    PAL_TRY(check_bytes(file, model));
    return read_bytes(file, model);
}

Status tokenizer_model_copy(TokenizerModel *copy, const TokenizerModel *model)
{
    *copy = *model;
    copy->bytes = NULL;
    if (model->size == 0) return PAL_OK;
    copy->bytes = malloc(model->size);
    if (copy->bytes == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    memcpy(copy->bytes, model->bytes, model->size);
    return PAL_OK;
}

void tokenizer_model_free(TokenizerModel *model)
{
    free(model->bytes);
    *model = (TokenizerModel){0};
}

int64_t tokenizer_model_checksum(const TokenizerModel *model)
{
    const int64_t numbers[2] = {model->vocabulary, model->document_token};
    uint64_t sum = XXH3_64bits(model->kind, strlen(model->kind));
    sum = XXH3_64bits_withSeed(numbers, sizeof numbers, sum);
    return (int64_t)XXH3_64bits_withSeed(model->bytes, model->size, sum);
}
