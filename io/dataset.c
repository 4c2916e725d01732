/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/dataset_check.h"

/* Blocks of all rows together stay below 32 MiB, but no block gets shorter than a page of
 * tokens. */
enum { MOST_BLOCK_TOKENS = 64 * 1024, LEAST_BLOCK_TOKENS = 2048, ALL_BLOCK_TOKENS = 1 << 24 };

struct TokenBlock {
    void *tokens; /* (block_tokens) of the file's type */
    Split split;
    int64_t first, count; /* count 0: nothing read yet */
};

static const char *const split_names[SPLIT_COUNT] = {"train", "validation", "test"};

const char *split_name(Split split) { return split_names[split]; }

Status split_parse(const char *name, Split *split)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        if (strcmp(name, split_names[s]) != 0) continue;
        *split = (Split)s;
        return PAL_OK;
    }
    PAL_FAIL(PAL_ERROR_USAGE, "'%.60s' is no split; expected train, validation or test", name);
}

/* --- opening --------------------------------------------------------------------------------- */

static Status read_list(H5File *file, const char *split, const char *name, int64_t count,
                        int64_t **list)
{
    char path[64];
    snprintf(path, sizeof path, "/%s/%s", split, name);
    *list = calloc((size_t)count + 1, sizeof **list);
    if (*list == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", h5_path(file));
    return h5_read(file, path, STORED_INT64, (Shape){1, {count}}, *list);
}

/* Files of earlier versions have none. */
static Status read_published_words(H5File *file, const char *name, DataSplit *split)
{
    char group[16];
    bool has;
    snprintf(group, sizeof group, "/%s", name);
    PAL_TRY(h5_has_attribute(file, group, "published_words", &has));
    if (has) PAL_TRY(h5_get_integer(file, group, "published_words", &split->published_words));
    if (split->published_words < 0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: %s: published_words = %lld, expected 0 (not known) or more; prepare the data "
                 "again",
                 h5_path(file), group, (long long)split->published_words);
    return PAL_OK;
}

static Status read_name(Dataset *dataset)
{
    bool has;
    PAL_TRY(h5_has_attribute(dataset->file, "/", "dataset", &has));
    if (has) return h5_get_text(dataset->file, "/", "dataset", &dataset->name);
    dataset->name = strdup("text");
    if (dataset->name == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", dataset->path);
    return PAL_OK;
}

static Status read_split(H5File *file, const char *name, DataSplit *split)
{
    char path[64];
    Shape shape;
    snprintf(path, sizeof path, "/%s/tokens", name);
    PAL_TRY(h5_shape(file, path, &shape));
    if (shape.num_dims != 1)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s has %d dimensions, expected 1", h5_path(file), path,
                 shape.num_dims);
    split->tokens = shape.dims[0];

    snprintf(path, sizeof path, "/%s/names", name);
    PAL_TRY(h5_read_texts(file, path, &split->names, &split->documents));
    PAL_TRY(read_list(file, name, "offsets", split->documents + 1, &split->offsets));
    PAL_TRY(read_list(file, name, "words", split->documents, &split->words));
    PAL_TRY(read_list(file, name, "bytes", split->documents, &split->bytes));
    PAL_TRY(read_published_words(file, name, split));
    for (int64_t d = 0; d < split->documents; d++) {
        split->total_words += split->words[d];
        split->total_bytes += split->bytes[d];
    }
    return PAL_OK;
}

/* All splits have tokens of one type. */
static Status read_token_type(Dataset *dataset)
{
    PAL_TRY(h5_stored_type(dataset->file, "/train/tokens", &dataset->token_type));
    if (dataset->token_type != STORED_UINT16 && dataset->token_type != STORED_INT32)
        PAL_FAIL(PAL_ERROR_DATA, "%s: /train/tokens are neither uint16 nor int32", dataset->path);
    return PAL_OK;
}

static Status read_header(Dataset *dataset)
{
    PAL_TRY(h5_expect_format(dataset->file, PAL_DATA_FORMAT, PAL_DATA_VERSION));
    PAL_TRY(read_name(dataset));
    PAL_TRY(tokenizer_model_read(dataset->file, &dataset->tokenizer));
    PAL_TRY(read_token_type(dataset));
    for (int s = 0; s < SPLIT_COUNT; s++)
        PAL_TRY(read_split(dataset->file, split_names[s], &dataset->splits[s]));
    return dataset_check(dataset);
}

static Status allocate_blocks(Dataset *dataset, int slots)
{
    dataset->blocks = calloc((size_t)slots, sizeof *dataset->blocks);
    if (dataset->blocks == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", dataset->path);
    dataset->num_slots = slots;
    int share = ALL_BLOCK_TOKENS / slots;
    dataset->block_tokens = share > MOST_BLOCK_TOKENS    ? MOST_BLOCK_TOKENS
                            : share < LEAST_BLOCK_TOKENS ? LEAST_BLOCK_TOKENS
                                                         : share;
    for (int s = 0; s < slots; s++) {
        dataset->blocks[s].tokens =
            malloc((size_t)dataset->block_tokens * stored_size(dataset->token_type));
        if (dataset->blocks[s].tokens == NULL)
            PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory for %d rows", dataset->path, slots);
    }
    return PAL_OK;
}

static Status open_parts(Dataset *dataset, const char *path, int slots)
{
    dataset->path = strdup(path);
    if (dataset->path == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    PAL_TRY(h5_open(&dataset->file, path, NULL));
    PAL_TRY(read_header(dataset));
    return allocate_blocks(dataset, slots);
}

Status dataset_open(Dataset **dataset, const char *path, int slots)
{
    PAL_ASSERT(slots >= 1);
    *dataset = calloc(1, sizeof **dataset);
    if (*dataset == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    Status status = open_parts(*dataset, path, slots);
    if (status != PAL_OK) dataset_close(dataset);
    return status;
}

void dataset_close(Dataset **dataset)
{
    Dataset *d = *dataset;
    if (d == NULL) return;
    for (int s = 0; s < SPLIT_COUNT; s++) {
        DataSplit *split = &d->splits[s];
        h5_texts_free(&split->names, split->documents);
        free(split->offsets);
        free(split->words);
        free(split->bytes);
    }
    for (int s = 0; s < d->num_slots; s++) free(d->blocks[s].tokens);
    free(d->blocks);
    h5_abandon(&d->file); /* nothing was written; keeps the message of a failure */
    free(d->name);
    tokenizer_model_free(&d->tokenizer);
    free(d->path);
    free(d);
    *dataset = NULL;
}

Status dataset_read_counts(Dataset *dataset, int64_t *counts, bool *found)
{
    const char *const name = PAL_TOKEN_COUNTS;
    const int vocabulary = dataset->tokenizer.vocabulary;
    H5File *file = dataset->file;
    PAL_TRY(h5_has(file, name, found));
    if (!*found) return PAL_OK;
    PAL_TRY(h5_read(file, name, STORED_INT64, (Shape){1, {vocabulary}}, counts));
    for (int v = 0; v < vocabulary; v++)
        if (counts[v] < 0)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: %s[%d] is %lld, expected 0 or more; prepare the data again",
                     dataset->path, name, v, (long long)counts[v]);
    return PAL_OK;
}

/* --- reading --------------------------------------------------------------------------------- */

static int32_t token_of(const Dataset *dataset, const TokenBlock *block, int64_t i)
{
    const uint16_t *narrow = block->tokens;
    const int32_t *wide = block->tokens;
    return dataset->token_type == STORED_UINT16 ? narrow[i] : wide[i];
}

static Status check_tokens(const Dataset *dataset, const TokenBlock *block, const char *name,
                           int64_t first, int64_t count)
{
    const int vocabulary = dataset->tokenizer.vocabulary;
    for (int64_t i = 0; i < count; i++) {
        int32_t token = token_of(dataset, block, i);
        if (token < 0 || token >= vocabulary)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: %s[%lld] is %d, the vocabulary has %d; prepare the data again",
                     dataset->path, name, (long long)(first + i), (int)token, vocabulary);
    }
    return PAL_OK;
}

static Status load_block(Dataset *dataset, Split split, TokenBlock *block, int64_t first)
{
    int64_t left = dataset->splits[split].tokens - first;
    int64_t count = left < dataset->block_tokens ? left : dataset->block_tokens;
    Slab slab = {.first = {first}, .count = {count}};
    char path[64];
    snprintf(path, sizeof path, "/%s/tokens", split_names[split]);
    block->count = 0; /* until it is read */
    h5_enter();       /* training reads while a checkpoint is laid out */
    Status status = h5_read_slab(dataset->file, path, dataset->token_type, &slab, block->tokens);
    h5_leave();
    PAL_TRY(status);
    PAL_TRY(check_tokens(dataset, block, path, first, count));
    block->split = split;
    block->first = first;
    block->count = count;
    return PAL_OK;
}

Status dataset_read_tokens(Dataset *dataset, Split split, int slot, int64_t first, int64_t count,
                           int32_t *tokens)
{
    PAL_ASSERT(slot >= 0 && slot < dataset->num_slots);
    PAL_ASSERT(first >= 0 && first + count <= dataset->splits[split].tokens);
    TokenBlock *block = &dataset->blocks[slot];
    while (count > 0) {
        bool inside = block->count > 0 && block->split == split && first >= block->first &&
                      first < block->first + block->count;
        if (!inside) PAL_TRY(load_block(dataset, split, block, first));
        int64_t here = block->first + block->count - first;
        if (here > count) here = count;
        for (int64_t i = 0; i < here; i++)
            tokens[i] = token_of(dataset, block, first - block->first + i);
        tokens += here;
        first += here;
        count -= here;
    }
    return PAL_OK;
}
