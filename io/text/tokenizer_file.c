/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/tokenizer_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/checkpoint.h"
#include "io/dataset.h"
#include "io/running_sum.h"
#include "mpi/collectives.h"

#define RECIPE "recipe"

static Status read_model(H5File *file, TokenizerModel *model)
{
    char *format = NULL;
    PAL_TRY(h5_get_format(file, &format));
    bool known = format != NULL && (strcmp(format, PAL_DATA_FORMAT) == 0 ||
                                    strcmp(format, PAL_CHECKPOINT_FORMAT) == 0);
    bool data = known && strcmp(format, PAL_DATA_FORMAT) == 0;
    free(format);
    if (!known)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is neither a data file nor a checkpoint, so it has no "
                 "tokenizer",
                 h5_path(file));
    PAL_TRY(h5_expect_format(file, data ? PAL_DATA_FORMAT : PAL_CHECKPOINT_FORMAT,
                             data ? PAL_DATA_VERSION : PAL_CHECKPOINT_VERSION));
    return tokenizer_model_read(file, model);
}

Status tokenizer_file_read(const char *path, TokenizerModel *model)
{
    H5File *file = NULL;
    *model = (TokenizerModel){0};
    char found[PAL_PATH_SIZE];
    PAL_TRY(checkpoint_find(path, found));
    PAL_TRY(h5_open(&file, found, NULL));
    Status status = read_model(file, model);
    h5_abandon(&file); /* nothing was written */
    return status;
}

/* --- in the work folder ----------------------------------------------------------------------- */

static int64_t recipe_sum(const TokenizerRecipe *r)
{
    const TextSource *source = r->parts->source;
    uint64_t sum = 0;
    running_sum_add(&sum, r->kind, strlen(r->kind));
    running_sum_add(&sum, &r->vocabulary, sizeof r->vocabulary);
    running_sum_add(&sum, r->subwords->algorithm, strlen(r->subwords->algorithm));
    running_sum_add(&sum, &r->subwords->sample_bytes, sizeof r->subwords->sample_bytes);
    running_sum_add(&sum, &r->keep_invalid, sizeof r->keep_invalid);
    for (int64_t d = 0; d < source->count[SPLIT_TRAIN]; d++) {
        const TextDocument *document = &source->documents[SPLIT_TRAIN][d];
        const int64_t numbers[] = {document->first, document->bytes, document->on_disk,
                                   document->modified};
        running_sum_add(&sum, numbers, sizeof numbers);
        running_sum_add(&sum, document->path, strlen(document->path));
    }
    return (int64_t)sum;
}

static void file_name(char path[PAL_PATH_SIZE + 16], const WorkFolder *folder)
{
    snprintf(path, PAL_PATH_SIZE + 16, "%s/tokenizer", folder->path);
}

bool tokenizer_kept(const WorkFolder *folder, const TokenizerRecipe *recipe, TokenizerModel *model)
{
    char path[PAL_PATH_SIZE + 16];
    H5File *file = NULL;
    int64_t recipe_of_file;
    file_name(path, folder);
    *model = (TokenizerModel){0};
    if (h5_open(&file, path, NULL) != PAL_OK) return false;
    bool kept = h5_get_integer(file, "/", RECIPE, &recipe_of_file) == PAL_OK &&
                recipe_of_file == recipe_sum(recipe) && tokenizer_model_read(file, model) == PAL_OK;
    h5_abandon(&file); /* nothing was written */
    if (!kept) tokenizer_model_free(model);
    return kept;
}

void tokenizer_keep(const WorkFolder *folder, const TokenizerRecipe *recipe,
                    const TokenizerModel *model)
{
    char path[PAL_PATH_SIZE + 16], temporary[PAL_PATH_SIZE + 32];
    H5File *file = NULL;
    file_name(path, folder);
    snprintf(temporary, sizeof temporary, "%s.part", path);
    bool written = h5_create(&file, temporary, NULL) == PAL_OK &&
                   tokenizer_model_write(file, model) == PAL_OK &&
                   h5_set_integer(file, "/", RECIPE, recipe_sum(recipe)) == PAL_OK;
    if (!written || h5_publish(&file, path) != PAL_OK) h5_abandon(&file);
}

/* --- to all ranks ----------------------------------------------------------------------------- */

Status tokenizer_model_share(TokenizerModel *model, const Group *group)
{
    TokenizerModel theirs = *model;
    group_broadcast(group, &theirs, sizeof theirs, 0);
    Status status = PAL_OK;
    if (!group_is_root(group)) {
        *model = theirs;
        model->bytes = theirs.size > 0 ? malloc(theirs.size) : NULL;
        if (theirs.size > 0 && model->bytes == NULL)
            status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    }
    PAL_TRY(group_agree(group, status));
    if (theirs.size > 0) group_broadcast(group, model->bytes, theirs.size, 0);
    return PAL_OK;
}
