/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/inspection.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/checkpoint.h"
#include "io/dataset.h"
#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/statistics.h"

/* --- tensors --------------------------------------------------------------------------------- */

/* Numbers that are read at once. */
enum { PIECE = 1 << 20 };

static Status measure_norm(H5File *file, const H5Item *item, double *norm)
{
    static float piece[PIECE];
    const int num_dims = item->shape.num_dims;
    const Slab whole = shape_slab(item->shape);
    int64_t parts = slab_num_parts(&whole, num_dims, PIECE);
    double sum = 0.0;
    for (int64_t part = 0; part < parts; part++) {
        Slab slab = slab_part(&whole, num_dims, PIECE, part);
        int64_t count = slab_elements(&slab, num_dims);
        PAL_TRY(h5_read_slab(file, item->name, STORED_FLOAT32, &slab, piece));
        for (int64_t i = 0; i < count; i++) sum += (double)piece[i] * (double)piece[i];
    }
    *norm = statistics_printable(sqrt(sum));
    return PAL_OK;
}

static Status print_tensor(H5File *file, const H5Item *item, int name_width)
{
    char shape[96], norm_text[32] = "";
    if (strstr(item->type, "float") != NULL) {
        double norm;
        PAL_TRY(measure_norm(file, item, &norm));
        snprintf(norm_text, sizeof norm_text, "%.6g", norm);
    }
    log_info("%-*s  %-20s %-8s %14lld %14s", name_width, item->name, shape_text(item->shape, shape),
             item->type, (long long)item->bytes, norm_text);
    return PAL_OK;
}

static Status print_tensors(H5File *file, const H5Item *items, int64_t count)
{
    int width = 6;
    for (int64_t i = 0; i < count; i++) {
        int length = checked_int((int64_t)strlen(items[i].name));
        if (length > width) width = length;
    }
    log_info("\n%-*s  %-20s %-8s %14s %14s", width, "tensor", "shape", "type", "bytes", "norm");
    for (int64_t i = 0; i < count; i++) PAL_TRY(print_tensor(file, &items[i], width));
    return PAL_OK;
}

/* --- checkpoints ----------------------------------------------------------------------------- */

static void print_summary(const char *path, const Checkpoint *checkpoint, const H5Item *items,
                          int64_t count)
{
    static const char weights_folder[] = "/weights/";
    const CheckpointState *state = &checkpoint->state;
    int64_t weights = 0, bytes = 0;
    for (int64_t i = 0; i < count; i++) {
        bytes += items[i].bytes;
        if (strncmp(items[i].name, weights_folder, strlen(weights_folder)) == 0)
            weights += shape_elements(items[i].shape);
    }
    log_info("%s: a checkpoint, written by palimpsest %s", path, checkpoint->program_version);
    log_info("update   %lld", (long long)state->update);
    log_info("windows  %lld of each row", (long long)state->windows);
    log_info("tokens   %lld", (long long)state->tokens);
    if (state->evaluated > 0) log_info("evaluated after update %lld", (long long)state->evaluated);
    if (state->rows > 0 && state->scheduled != state->update)
        log_info("made because the run ended here");
    if (state->history.skips > 0)
        log_info("skipped  the last %lld updates", (long long)state->history.skips);
    if (state->history.rewinds > 0)
        log_info("rewinds  %lld, the last from update %lld", (long long)state->history.rewinds,
                 (long long)state->history.furthest);
    log_info("rows     %d", state->rows);
    log_info("weights  %lld", (long long)weights);
    log_info("tensors  %lld, %lld bytes", (long long)count, (long long)bytes);
}

/* The text that the rows stand in, when it is where the configuration says; else NULL. */
static Dataset *open_text(const CheckpointState *state)
{
    Config config;
    Dataset *dataset = NULL;
    int64_t sum;
    if (config_parse_text(&config, state->configuration, "checkpoint", NULL, 0) != PAL_OK ||
        dataset_open(&dataset, config.data.path, 1) != PAL_OK)
        return NULL;
    if (dataset_checksum(dataset, &sum) != PAL_OK || sum != state->data) dataset_close(&dataset);
    return dataset;
}

static void print_row(const CheckpointState *state, int row, const Dataset *dataset)
{
    const RowCursor *cursor = &state->cursors[row];
    char place[128] = "";
    const DataSplit *split = dataset != NULL ? &dataset->splits[SPLIT_TRAIN] : NULL;
    int64_t d = cursor->document;
    if (split != NULL && d >= 0 && d < split->documents) {
        int64_t length = split->offsets[d + 1] - split->offsets[d];
        snprintf(place, sizeof place, "  %5.1f%%  %.100s",
                 100.0 * (double)cursor->offset / (double)length, split->names[d]);
    }
    log_info("%8d %12lld %14lld %8lld%s", row, (long long)cursor->document,
             (long long)cursor->offset, (long long)cursor->epoch, place);
}

static void print_rows(const CheckpointState *state)
{
    Dataset *dataset = open_text(state);
    log_info(
        "\nNext to read, by row; the next free row takes element %lld of the order of documents:",
        (long long)state->next);
    log_info("%8s %12s %14s %8s%s", "row", "document", "offset", "epoch",
             dataset != NULL ? "   read  name" : "");
    for (int row = 0; row < state->rows; row++) print_row(state, row, dataset);
    dataset_close(&dataset);
}

static Status inspect_checkpoint(const char *path)
{
    Checkpoint *checkpoint = NULL;
    H5Item *items = NULL;
    int64_t count = 0;
    PAL_TRY(checkpoint_open(&checkpoint, path, NULL));
    Status status = h5_list(checkpoint->file, &items, &count);
    if (status == PAL_OK) {
        print_summary(path, checkpoint, items, count);
        status = print_tensors(checkpoint->file, items, count);
    }
    if (status == PAL_OK) {
        if (checkpoint->state.rows > 0) print_rows(&checkpoint->state);
        log_info("\nConfiguration:\n\n%s", checkpoint->state.configuration);
    }
    h5_items_free(&items, count);
    checkpoint_close(&checkpoint);
    return status;
}

/* --- data files ------------------------------------------------------------------------------ */

static void print_splits(const Dataset *dataset)
{
    log_info("\n%-12s %12s %14s %14s %14s", "split", "documents", "tokens", "words", "bytes");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const DataSplit *split = &dataset->splits[s];
        log_info("%-12s %12lld %14lld %14lld %14lld", split_name((Split)s),
                 (long long)split->documents, (long long)split->tokens,
                 (long long)split->total_words, (long long)split->total_bytes);
    }
}

static void print_documents(const DataSplit *split, const char *name)
{
    log_info("\n%-36s %14s %14s %14s", name, "tokens", "words", "bytes");
    for (int64_t d = 0; d < split->documents; d++)
        log_info("%-36s %14lld %14lld %14lld", split->names[d],
                 (long long)(split->offsets[d + 1] - split->offsets[d]), (long long)split->words[d],
                 (long long)split->bytes[d]);
}

static Status inspect_data(const char *path, bool documents)
{
    Dataset *dataset = NULL;
    PAL_TRY(dataset_open(&dataset, path, 1));
    log_info("%s: a data file, version %d of its format", path, PAL_DATA_VERSION);
    log_info("tokenizer   %s", dataset->tokenizer.kind);
    log_info("vocabulary  %d, token %d stands before every document", dataset->tokenizer.vocabulary,
             dataset->tokenizer.document_token);
    print_splits(dataset);
    for (int s = 0; documents && s < SPLIT_COUNT; s++)
        print_documents(&dataset->splits[s], split_name((Split)s));
    dataset_close(&dataset);
    return PAL_OK;
}

/* --- which of them --------------------------------------------------------------------------- */

/* *format is the caller's to free. */
static Status read_format(const char *path, char **format)
{
    H5File *file = NULL;
    *format = NULL;
    PAL_TRY(h5_open(&file, path, NULL));
    Status status = h5_get_format(file, format);
    h5_abandon(&file); /* nothing was written; keeps the message of a failure */
    return status;
}

static bool is_folder(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

Status inspect_path(const char *path, bool documents)
{
    char found[PAL_PATH_SIZE];
    if (is_folder(path)) {
        PAL_TRY(checkpoint_find(path, found));
        return inspect_checkpoint(found);
    }
    char *format;
    PAL_TRY(read_format(path, &format));
    bool is_checkpoint = format != NULL && strcmp(format, PAL_CHECKPOINT_FORMAT) == 0;
    bool is_data = format != NULL && strcmp(format, PAL_DATA_FORMAT) == 0;
    free(format);
    if (is_checkpoint) return inspect_checkpoint(path);
    if (is_data) return inspect_data(path, documents);
    PAL_FAIL(PAL_ERROR_DATA,
             "%s: an HDF5 file, but neither a checkpoint nor a data file of palimpsest; h5dump -n "
             "lists what is in it",
             path);
}
