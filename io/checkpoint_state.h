/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything of a checkpoint that is not a tensor, as attributes of the file's root; for the
 * checkpoint*.c files.
 */
#ifndef PAL_IO_CHECKPOINT_STATE_H
#define PAL_IO_CHECKPOINT_STATE_H

#include "io/checkpoint.h"

/* Datasets (R) of int64 with the members of RowCursor, in their order. */
enum { NUM_CURSOR_FIELDS = 3 };
extern const char *const checkpoint_cursor_names[NUM_CURSOR_FIELDS];

/* Collective over the file's group. All but the cursors, which are written as tensors. */
Status checkpoint_write_state(H5File *file, const CheckpointState *state);

/* Collective over the file's group. With the cursors; what is allocated belongs to the caller also
 * after a failure. */
Status checkpoint_read_state(H5File *file, CheckpointState *state, char **program_version);

#endif
