/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/checkpoint_files.h"
#include "io/publish.h"
#include "mpi/collectives.h"

#ifndef PAL_VERSION
#define PAL_VERSION "unknown"
#endif

/* Attributes of the file's root and where they stand in a CheckpointState. */
static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"update", offsetof(CheckpointState, update)},
    {"windows", offsetof(CheckpointState, windows)},
    {"tokens", offsetof(CheckpointState, tokens)},
    {"next_document", offsetof(CheckpointState, next)},
};
enum { NUM_COUNTERS = sizeof counters / sizeof *counters };

/* Members of RowCursor, each a dataset (R) of int64. */
static const struct {
    const char *name;
    size_t offset;
} cursor_fields[] = {
    {"/cursors/document", offsetof(RowCursor, document)},
    {"/cursors/offset", offsetof(RowCursor, offset)},
    {"/cursors/epoch", offsetof(RowCursor, epoch)},
};
enum { NUM_CURSOR_FIELDS = sizeof cursor_fields / sizeof *cursor_fields };

static int64_t *cursor_field(RowCursor *cursor, int field)
{
    return (int64_t *)(void *)((char *)cursor + cursor_fields[field].offset);
}

CheckpointTensor checkpoint_rows(const char *name, StoredType type, Shape shape, int64_t first,
                                 int64_t count, void *data)
{
    CheckpointTensor tensor = {.name = name, .type = type, .shape = shape, .data = data};
    for (int d = 0; d < shape.num_dims; d++) tensor.part.count[d] = shape.dims[d];
    tensor.part.first[0] = first;
    tensor.part.count[0] = count;
    return tensor;
}

static Status out_of_memory(const char *path)
{
    PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
}

/* --- writing --------------------------------------------------------------------------------- */

static Status write_cursors(H5File *file, const CheckpointState *state, int64_t *column)
{
    Shape shape = {1, {state->rows}};
    for (int f = 0; f < NUM_CURSOR_FIELDS; f++) {
        for (int row = 0; row < state->rows; row++)
            column[row] = *cursor_field(&state->cursors[row], f);
        PAL_TRY(h5_write(file, cursor_fields[f].name, STORED_INT64, shape, column));
    }
    return PAL_OK;
}

static Status write_state(H5File *file, const CheckpointState *state, int64_t *column)
{
    PAL_TRY(h5_set_text(file, "/", "format", PAL_CHECKPOINT_FORMAT));
    PAL_TRY(h5_set_integer(file, "/", "version", PAL_CHECKPOINT_VERSION));
    PAL_TRY(h5_set_text(file, "/", "program_version", PAL_VERSION));
    PAL_TRY(h5_set_text(file, "/", "configuration", state->configuration));
    for (int i = 0; i < NUM_COUNTERS; i++) {
        const int64_t *value = (const void *)((const char *)state + counters[i].offset);
        PAL_TRY(h5_set_integer(file, "/", counters[i].name, *value));
    }
    return write_cursors(file, state, column);
}

static const Slab *boxes_of(const CheckpointTensor *tensor)
{
    return tensor->parts != NULL ? tensor->parts : &tensor->part;
}

static int count_boxes(const CheckpointTensor *tensor)
{
    return tensor->parts != NULL ? tensor->num_parts : 1;
}

static Status write_tensors(H5File *file, const CheckpointTensor *tensors, int num_tensors)
{
    for (int i = 0; i < num_tensors; i++) {
        const CheckpointTensor *tensor = &tensors[i];
        PAL_TRY(h5_define(file, tensor->name, tensor->type, tensor->shape));
        PAL_TRY(h5_write_slabs(file, tensor->name, tensor->type, boxes_of(tensor),
                               count_boxes(tensor), tensor->data));
    }
    return PAL_OK;
}

/* column: room for one number of each row. */
static Status write_file(const Group *group, const char *final, const CheckpointState *state,
                         int64_t *column, const CheckpointTensor *tensors, int num_tensors)
{
    H5File *file = NULL;
    char temporary[PAL_PATH_SIZE];
    PAL_TRY(publish_temporary(final, temporary, sizeof temporary));
    PAL_TRY(h5_create(&file, temporary, group));
    Status status = write_state(file, state, column);
    if (status == PAL_OK) status = write_tensors(file, tensors, num_tensors);
    if (status == PAL_OK) return h5_publish(&file, final);
    h5_abandon(&file);
    return status;
}

static Status prepare_folder(const char *run)
{
    char folder[PAL_PATH_SIZE];
    int length = snprintf(folder, sizeof folder, "%s/checkpoints", run);
    if (length < 0 || (size_t)length >= sizeof folder)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%.60s...: the name is too long", run);
    return make_folders(folder);
}

Status checkpoint_save(const Group *group, const char *run, const CheckpointState *state,
                       const CheckpointTensor *tensors, int num_tensors, int keep,
                       char path[PAL_PATH_SIZE])
{
    char final[PAL_PATH_SIZE];
    PAL_TRY(checkpoint_name(run, state->update, final));

    int64_t *column = malloc((size_t)(state->rows + 1) * sizeof *column);
    Status status = PAL_OK;
    if (column == NULL)
        status = out_of_memory(final);
    else if (group_is_root(group))
        status = prepare_folder(run);
    status = group_agree(group, status);
    if (status == PAL_OK) status = write_file(group, final, state, column, tensors, num_tensors);
    free(column);
    PAL_TRY(status);

    if (group_is_root(group)) status = checkpoint_announce(run, state->update, keep);
    if (path != NULL) snprintf(path, PAL_PATH_SIZE, "%s", final);
    return group_agree(group, status);
}

/* --- reading --------------------------------------------------------------------------------- */

static Status read_cursors(H5File *file, CheckpointState *state)
{
    Shape shape;
    PAL_TRY(h5_shape(file, cursor_fields[0].name, &shape));
    if (shape.num_dims != 1 || shape.dims[0] > 1 << 24)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s is not one number for each row", h5_path(file),
                 cursor_fields[0].name);
    state->rows = (int)shape.dims[0];
    state->cursors = calloc((size_t)state->rows + 1, sizeof *state->cursors);
    int64_t *column = calloc((size_t)state->rows + 1, sizeof *column);
    bool got = state->cursors != NULL && column != NULL;
    Status status = h5_agree(file, got ? PAL_OK : out_of_memory(h5_path(file)));
    PAL_ASSERT(got || status != PAL_OK);
    for (int f = 0; f < NUM_CURSOR_FIELDS && status == PAL_OK; f++) {
        status = h5_read(file, cursor_fields[f].name, STORED_INT64, shape, column);
        for (int row = 0; row < state->rows && status == PAL_OK; row++)
            *cursor_field(&state->cursors[row], f) = column[row];
    }
    free(column);
    return status;
}

static Status read_state(Checkpoint *checkpoint)
{
    H5File *file = checkpoint->file;
    CheckpointState *state = &checkpoint->state;
    char *configuration = NULL;
    PAL_TRY(h5_expect_format(file, PAL_CHECKPOINT_FORMAT, PAL_CHECKPOINT_VERSION));
    PAL_TRY(h5_get_text(file, "/", "program_version", &checkpoint->program_version));
    PAL_TRY(h5_get_text(file, "/", "configuration", &configuration));
    state->configuration = configuration;
    for (int i = 0; i < NUM_COUNTERS; i++) {
        int64_t *value = (void *)((char *)state + counters[i].offset);
        PAL_TRY(h5_get_integer(file, "/", counters[i].name, value));
    }
    return read_cursors(file, state);
}

Status checkpoint_open(Checkpoint **checkpoint, const char *path, const Group *group)
{
    H5File *file = NULL;
    *checkpoint = NULL;
    PAL_TRY(h5_open(&file, path, group));
    Checkpoint *c = calloc(1, sizeof *c);
    Status status = h5_agree(file, c != NULL ? PAL_OK : out_of_memory(path));
    if (status != PAL_OK) {
        h5_abandon(&file);
        free(c);
        return status;
    }
    PAL_ASSERT(c != NULL);
    c->file = file;
    *checkpoint = c;
    status = read_state(c);
    if (status != PAL_OK) checkpoint_close(checkpoint);
    return status;
}

void checkpoint_close(Checkpoint **checkpoint)
{
    Checkpoint *c = *checkpoint;
    if (c == NULL) return;
    h5_abandon(&c->file); /* nothing was written; keeps the message of a failure */
    free(c->state.cursors);
    free((char *)(uintptr_t)c->state.configuration);
    free(c->program_version);
    free(c);
    *checkpoint = NULL;
}

Status checkpoint_read(Checkpoint *checkpoint, const CheckpointTensor *tensor)
{
    Shape found;
    char is[96], wanted[96];
    PAL_TRY(h5_shape(checkpoint->file, tensor->name, &found));
    if (!shape_equal(found, tensor->shape))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: '%s' has shape %s in the file, the model wants %s; was it saved with another "
                 "configuration?",
                 h5_path(checkpoint->file), tensor->name, shape_text(found, is),
                 shape_text(tensor->shape, wanted));
    return h5_read_slabs(checkpoint->file, tensor->name, tensor->type, boxes_of(tensor),
                         count_boxes(tensor), tensor->data);
}

Status checkpoint_shape(Checkpoint *checkpoint, const char *name, Shape *shape)
{
    return h5_shape(checkpoint->file, name, shape);
}
