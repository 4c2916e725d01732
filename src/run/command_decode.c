/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest decode data.h5 --split test
 *
 * The text, and nothing else, goes to stdout.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/dataset.h"
#include "io/text/tokenizer.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/commands.h"

enum { PIECE = 1 << 14 };

static Status write_tokens(const Tokenizer *tokenizer, TextDecoder *decoder, const int32_t *tokens,
                           int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        size_t length;
        const uint8_t *bytes = text_decoder_next(decoder, tokenizer, tokens[i], &length);
        if (length > 0 && fwrite(bytes, 1, length, stdout) != length)
            PAL_FAIL(PAL_ERROR_IO, "the text cannot be written: %s", strerror(errno));
    }
    return PAL_OK;
}

static Status decode_document(Dataset *dataset, Split split, int64_t d, const Tokenizer *tokenizer)
{
    static int32_t tokens[PIECE];
    const int64_t *offsets = dataset->splits[split].offsets;
    TextDecoder decoder = {0};
    for (int64_t first = offsets[d]; first < offsets[d + 1]; first += PIECE) {
        int64_t left = offsets[d + 1] - first, count = left < PIECE ? left : PIECE;
        PAL_TRY(dataset_read_tokens(dataset, split, 0, first, count, tokens));
        PAL_TRY(write_tokens(tokenizer, &decoder, tokens, count));
    }
    return PAL_OK;
}

/* name NULL: all of them. */
static Status decode_documents(Dataset *dataset, Split split, const char *name,
                               const Tokenizer *tokenizer)
{
    const DataSplit *documents = &dataset->splits[split];
    bool found = name == NULL;
    for (int64_t d = 0; d < documents->documents; d++) {
        if (name != NULL && strcmp(name, documents->names[d]) != 0) continue;
        found = true;
        PAL_TRY(decode_document(dataset, split, d, tokenizer));
    }
    if (!found)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--document %.60s: %s has no such document in %s; `palimpsest inspect %s "
                 "--documents` lists them",
                 name, dataset->path, split_name(split), dataset->path);
    if (fflush(stdout) != 0)
        PAL_FAIL(PAL_ERROR_IO, "the text cannot be written: %s", strerror(errno));
    return PAL_OK;
}

static Status decode(const char *path, Split split, const char *document)
{
    Dataset *dataset = NULL;
    Tokenizer *tokenizer = NULL;
    TokenizerModel model = {0};
    Status status = dataset_open(&dataset, path, 1);
    if (status == PAL_OK) status = tokenizer_model_copy(&model, &dataset->tokenizer);
    if (status == PAL_OK) status = tokenizer_create(&tokenizer, &model, path);
    if (status == PAL_OK) status = decode_documents(dataset, split, document, tokenizer);
    tokenizer_destroy(&tokenizer);
    dataset_close(&dataset);
    return status;
}

Status command_decode(const Command *command, Grid *grid, int argc, char **argv)
{
    const char *path = NULL, *name = "test", *document = NULL;
    const Option options[] = {
        {"split", OPTION_TEXT, &name, "NAME", "train, validation or test (default)"},
        {"document", OPTION_TEXT, &document, "NAME", "this one alone (default: all, back to back)"},
    };
    bool helped;
    Split split;
    PAL_TRY(arguments_parse(command, options, sizeof options / sizeof *options, argc, argv, &path,
                            1, group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    log_to_stderr();
    PAL_TRY(split_parse(name, &split));
    if (grid->world.size > 1)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "decode: started on %d ranks, but one writes the text alone; start it without "
                 "mpirun",
                 grid->world.size);
    return decode(path, split, document);
}
