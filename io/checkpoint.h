/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint is one HDF5 file, RUN/checkpoints/step-00001000.h5, that holds global tensors by
 * name (io/README.md), whatever the process grid; this module moves named boxes of numbers and
 * knows no layer. It is written under a temporary name, closed, synced, renamed; then `latest` (a
 * symbolic link) is moved and old ones are pruned. So a job killed at any moment leaves a whole
 * newest one.
 */
#ifndef PAL_IO_CHECKPOINT_H
#define PAL_IO_CHECKPOINT_H

#include <stdint.h>

#include "io/batch_order.h"
#include "io/config.h"
#include "io/h5_file.h"
#include "src/base/status.h"

#define PAL_CHECKPOINT_FORMAT "palimpsest-checkpoint"
enum { PAL_CHECKPOINT_VERSION = 1 };

/* One tensor, and this rank's part of it. */
typedef struct CheckpointTensor {
    const char *name; /* "/weights/layers/00/attention/query"; borrowed */
    StoredType type;
    Shape shape; /* global */
    Slab part;   /* a count of 0: this rank has nothing of it */
    void *data;  /* borrowed; the part, row-major */
    const Slab
        *parts;    /* borrowed; instead of `part` where this rank has (num_parts) boxes, whose */
    int num_parts; /* elements stand in `data` in the order in which they lie in the tensor */
} CheckpointTensor;

/* Everything of a run that is not a tensor. */
typedef struct CheckpointState {
    int64_t update;            /* updates done */
    int64_t windows;           /* windows done by every row */
    int64_t tokens;            /* targets counted, over all rows */
    int64_t next;              /* BatchOrder.next */
    int rows;                  /* R */
    RowCursor *cursors;        /* (R), BatchOrder.cursors; borrowed when saving */
    const char *configuration; /* config_text() */
} CheckpointState;

/* Local. A tensor of which this rank holds rows [first, first + count) of the first dimension. */
CheckpointTensor checkpoint_rows(const char *name, StoredType type, Shape shape, int64_t first,
                                 int64_t count, void *data);

/* Collective over the group, same names, shapes and state on every rank, in the same order; every
 * element is written by exactly one rank. `run` is the folder RUN; keeps the newest `keep` files up
 * to this update. `path` receives the file's name; it may be NULL.
 * On failure nothing is left behind and earlier checkpoints stay as they were. */
Status checkpoint_save(const Group *group, const char *run, const CheckpointState *state,
                       const CheckpointTensor *tensors, int num_tensors, int keep,
                       char path[PAL_PATH_SIZE]);

typedef struct Checkpoint {
    H5File *file;
    CheckpointState state; /* here cursors and configuration are owned */
    char *program_version;
} Checkpoint;

/* Collective over the group; NULL: this rank alone. `path` as checkpoint_find() gives it.
 * Errors: no such file (66); not HDF5, cut short, a data file, another version (65). */
Status checkpoint_open(Checkpoint **checkpoint, const char *path, const Group *group);
/* Collective over the group it was opened with. Accepts NULL, sets NULL. */
void checkpoint_close(Checkpoint **checkpoint);

/* Collective over the group it was opened with. Reads tensor->part into tensor->data.
 * Errors (65): not there; the file's shape is not tensor->shape (both are said). */
Status checkpoint_read(Checkpoint *checkpoint, const CheckpointTensor *tensor);
/* Collective over the group it was opened with. */
Status checkpoint_shape(Checkpoint *checkpoint, const char *name, Shape *shape);

/* Local. The file meant by `path`: a file, a folder RUN or RUN/checkpoints (their `latest`, else
 * the highest step). Error: PAL_ERROR_NO_INPUT. */
Status checkpoint_find(const char *path, char found[PAL_PATH_SIZE]);

#endif
