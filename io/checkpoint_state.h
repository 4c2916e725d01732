/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything of a checkpoint that is not a tensor, as attributes of the file's root; and how what a
 * training alone needs is called there: the rows' places in their books, its recent losses.
 */
#ifndef PAL_IO_CHECKPOINT_STATE_H
#define PAL_IO_CHECKPOINT_STATE_H

#include "io/checkpoint.h"

/* Where the rows stand: a folder with a dataset (R) of int64 for each member of RowCursor. */
#define PAL_CURSORS "/cursors"
enum { NUM_CURSOR_FIELDS = 3 };
extern const char *const cursor_field_names[NUM_CURSOR_FIELDS];
/* Local. The member of that name. */
int64_t *cursor_field(RowCursor *cursor, int field);

/* (PAL_RECENT_LOSSES) of float64; a file has it when it has cursors. */
#define PAL_LOSSES "/detector/losses"

/* Collective over the file's group. All but cursors and losses, which are written as tensors. */
Status checkpoint_write_state(H5File *file, const CheckpointState *state);

/* Collective over the file's group. With cursors and losses; what is allocated belongs to the
 * caller also after a failure. */
Status checkpoint_read_state(H5File *file, CheckpointState *state, char **program_version);

#endif
