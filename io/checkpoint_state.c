/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "io/checkpoint_state.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#ifndef PAL_VERSION
#define PAL_VERSION "unknown"
#endif

/* A list of one text, no attribute: see h5_set_text. */
#define CONFIGURATION "/configuration"
/* HDF5 has no checksum for what stands in a dataset. */
#define STATE_CHECKSUM "state_checksum"

/* Attributes of the file's root and where they stand in a CheckpointState. */
static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"update", offsetof(CheckpointState, update)},
    {"windows", offsetof(CheckpointState, windows)},
    {"tokens", offsetof(CheckpointState, tokens)},
    {"evaluated", offsetof(CheckpointState, evaluated)},
    {"next_document", offsetof(CheckpointState, next)},
    {"scheduled", offsetof(CheckpointState, scheduled)},
    {"data_checksum", offsetof(CheckpointState, data)},
    {"recent_losses", offsetof(CheckpointState, history.held)},
    {"skips", offsetof(CheckpointState, history.skips)},
    {"rewinds", offsetof(CheckpointState, history.rewinds)},
    {"furthest", offsetof(CheckpointState, history.furthest)},
};
enum { NUM_COUNTERS = sizeof counters / sizeof *counters };

const char *const cursor_field_names[NUM_CURSOR_FIELDS] = {"document", "offset", "epoch"};

static const size_t cursor_offsets[NUM_CURSOR_FIELDS] = {
    offsetof(RowCursor, document), offsetof(RowCursor, offset), offsetof(RowCursor, epoch)};

int64_t *cursor_field(RowCursor *cursor, int field)
{
    return (int64_t *)(void *)((char *)cursor + cursor_offsets[field]);
}

static int64_t *counter_of(const CheckpointState *state, int counter)
{
    return (int64_t *)(uintptr_t)((const char *)state + counters[counter].offset);
}

static int64_t state_checksum(const CheckpointState *state, const char *program_version)
{
    XXH3_state_t sum;
    XXH3_64bits_reset(&sum);
    XXH3_64bits_update(&sum, program_version, strlen(program_version) + 1);
    XXH3_64bits_update(&sum, state->configuration, strlen(state->configuration) + 1);
    for (int i = 0; i < NUM_COUNTERS; i++)
        XXH3_64bits_update(&sum, counter_of(state, i), sizeof(int64_t));
    const int64_t tokenizer = tokenizer_model_checksum(&state->tokenizer);
    XXH3_64bits_update(&sum, &tokenizer, sizeof tokenizer);
    return (int64_t)XXH3_64bits_digest(&sum);
}

Status checkpoint_write_state(H5File *file, const CheckpointState *state)
{
    PAL_TRY(h5_set_text(file, "/", "format", PAL_CHECKPOINT_FORMAT));
    PAL_TRY(h5_set_integer(file, "/", "version", PAL_CHECKPOINT_VERSION));
    PAL_TRY(h5_set_text(file, "/", "program_version", PAL_VERSION));
    PAL_TRY(h5_write_texts(file, CONFIGURATION, &state->configuration, 1));
    PAL_TRY(tokenizer_model_write(file, &state->tokenizer));
    for (int i = 0; i < NUM_COUNTERS; i++)
        PAL_TRY(h5_set_integer(file, "/", counters[i].name, *counter_of(state, i)));
    return h5_set_integer(file, "/", STATE_CHECKSUM, state_checksum(state, PAL_VERSION));
}

static Status check_state(H5File *file, const CheckpointState *state, const char *program_version)
{
    int64_t checksum;
    const StepHistory *history = &state->history;
    PAL_TRY(h5_get_integer(file, "/", STATE_CHECKSUM, &checksum));
    Status status = PAL_OK;
    if (state_checksum(state, program_version) != checksum)
        status = PAL_FAILURE(PAL_ERROR_DATA,
                             "%s: is damaged: its configuration, counters and tokenizer are not "
                             "those that were written; take another checkpoint",
                             h5_path(file));
    else if (state->update < 0 || state->windows < 0 || state->tokens < 0 || state->next < 0 ||
             state->evaluated < 0 || history->held < 0 || history->skips < 0 ||
             history->rewinds < 0 || history->furthest < 0)
        status = PAL_FAILURE(PAL_ERROR_DATA, "%s: has a counter below 0", h5_path(file));
    else if (state->scheduled < -1 || state->scheduled > state->update)
        status = PAL_FAILURE(PAL_ERROR_DATA,
                             "%s: is of update %lld and names %lld as that of the newest "
                             "checkpoint made at its time",
                             h5_path(file), (long long)state->update, (long long)state->scheduled);
    else if (history->held > PAL_RECENT_LOSSES)
        status = PAL_FAILURE(PAL_ERROR_DATA, "%s: has %lld recent losses, more than %d",
                             h5_path(file), (long long)history->held, PAL_RECENT_LOSSES);
    return h5_agree(file, status);
}

static Status out_of_memory(const char *path)
{
    PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
}

static const char *cursor_dataset(int field, char name[64])
{
    snprintf(name, 64, PAL_CURSORS "/%s", cursor_field_names[field]);
    return name;
}

static Status read_cursors(H5File *file, CheckpointState *state)
{
    char name[64];
    Shape shape;
    PAL_TRY(h5_shape(file, cursor_dataset(0, name), &shape));
    if (shape.num_dims != 1 || shape.dims[0] > 1 << 24)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s is not one number for each row", h5_path(file), name);
    state->rows = (int)shape.dims[0];
    state->cursors = calloc((size_t)state->rows + 1, sizeof *state->cursors);
    int64_t *column = calloc((size_t)state->rows + 1, sizeof *column);
    bool got = state->cursors != NULL && column != NULL;
    Status status = h5_agree(file, got ? PAL_OK : out_of_memory(h5_path(file)));
    PAL_ASSERT(got || status != PAL_OK);
    for (int f = 0; f < NUM_CURSOR_FIELDS && status == PAL_OK; f++) {
        status = h5_read(file, cursor_dataset(f, name), STORED_INT64, shape, column);
        for (int row = 0; row < state->rows && status == PAL_OK; row++)
            *cursor_field(&state->cursors[row], f) = column[row];
    }
    free(column);
    return status;
}

static Status read_losses(H5File *file, CheckpointState *state)
{
    const Shape shape = {1, {PAL_RECENT_LOSSES}};
    return h5_read(file, PAL_LOSSES, STORED_FLOAT64, shape, state->history.losses);
}

static Status read_configuration(H5File *file, CheckpointState *state)
{
    char **texts;
    int64_t count;
    PAL_TRY(h5_read_texts(file, CONFIGURATION, &texts, &count));
    bool one = count == 1;
    if (one) {
        state->configuration = texts[0];
        texts[0] = NULL;
    }
    h5_texts_free(&texts, count);
    if (!one) PAL_FAIL(PAL_ERROR_DATA, "%s: %s is not one text", h5_path(file), CONFIGURATION);
    return PAL_OK;
}

Status checkpoint_read_state(H5File *file, CheckpointState *state, char **program_version)
{
    PAL_TRY(h5_expect_format(file, PAL_CHECKPOINT_FORMAT, PAL_CHECKPOINT_VERSION));
    PAL_TRY(h5_get_text(file, "/", "program_version", program_version));
    PAL_TRY(read_configuration(file, state));
    for (int i = 0; i < NUM_COUNTERS; i++)
        PAL_TRY(h5_get_integer(file, "/", counters[i].name, counter_of(state, i)));
    PAL_TRY(tokenizer_model_read(file, &state->tokenizer));
    PAL_TRY(check_state(file, state, *program_version));
    bool rows;
    PAL_TRY(h5_has(file, PAL_CURSORS, &rows));
    if (rows) PAL_TRY(read_cursors(file, state));
    return rows ? read_losses(file, state) : PAL_OK;
}
