/* SPDX-License-Identifier: Apache-2.0
 *
 * A checkpoint is one HDF5 file, RUN/checkpoints/step-00001000.h5, that holds global tensors by
 * name (io/README.md), whatever the process grid; this module moves named boxes of numbers and
 * knows no layer. Here it is read; checkpoint_write.h writes it.
 */
#ifndef PAL_IO_CHECKPOINT_H
#define PAL_IO_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/batch_order.h"
#include "io/config.h"
#include "io/h5_file.h"
#include "io/tokenizer_model.h"
#include "src/base/status.h"

#define PAL_CHECKPOINT_FORMAT "palimpsest-checkpoint"
enum { PAL_CHECKPOINT_VERSION = 7, PAL_TENSOR_NAME_SIZE = 192 };

/* One tensor, and which boxes of it this rank has. Their numbers stand box after box in memory,
 * each row-major. */
typedef struct CheckpointTensor {
    char name[PAL_TENSOR_NAME_SIZE]; /* "/weights/layers/00/attention/query" */
    StoredType type;
    Shape shape;       /* global */
    const Slab *boxes; /* (num_boxes) borrowed, disjoint; 0 boxes: this rank has nothing of it */
    int num_boxes;
} CheckpointTensor;

/* Local. Numbers in the boxes that this rank has. */
int64_t checkpoint_numbers(const CheckpointTensor *tensor);

/* By what a run judges its next update (src/run/bad_steps.h). */
enum { PAL_RECENT_LOSSES = 128 };
typedef struct StepHistory {
    int64_t held;                     /* losses in `losses` */
    int64_t skips;                    /* updates that were skipped in a row, up to now */
    int64_t rewinds;                  /* to a checkpoint, without having come further since */
    int64_t furthest;                 /* the update from which the latest of them went back */
    double losses[PAL_RECENT_LOSSES]; /* the newest last, zeros in front where there are fewer */
} StepHistory;

/* Everything of a run that is not a tensor. */
typedef struct CheckpointState {
    int64_t update;            /* updates done */
    int64_t windows;           /* windows done by every row */
    int64_t tokens;            /* targets counted, over all rows */
    int64_t evaluated;         /* update after which was evaluated last, 0: never */
    int64_t next;              /* BatchOrder.next */
    int64_t scheduled;         /* update of the newest checkpoint made at its time; -1: none */
    int64_t data;              /* dataset_checksum(): what the cursors mean something in */
    int rows;                  /* R, 0: weights alone; not written: cursors are tensors */
    RowCursor *cursors;        /* (R), BatchOrder.cursors; not written */
    StepHistory history;       /* its losses are a tensor, not written */
    const char *configuration; /* config_text() */
    TokenizerModel tokenizer;  /* of the text; its bytes are borrowed */
} CheckpointState;

typedef struct Checkpoint {
    H5File *file;
    CheckpointState state; /* here cursors, configuration and tokenizer are owned */
    char *program_version;
} Checkpoint;

/* Collective over the group; NULL: this rank alone. `path` as checkpoint_find() gives it.
 * Errors: no such file (66); not HDF5, cut short, a data file, another version (65). */
Status checkpoint_open(Checkpoint **checkpoint, const char *path, const Group *group);
/* Collective over the group it was opened with. Accepts NULL, sets NULL. */
void checkpoint_close(Checkpoint **checkpoint);

/* Collective over the group it was opened with. Reads tensor->boxes into `numbers`; STORED_REAL
 * takes float32 and bfloat16. Errors (65): not there; the file's shape is not tensor->shape (both
 * are said). */
Status checkpoint_read(Checkpoint *checkpoint, const CheckpointTensor *tensor, void *numbers);

/* Collective over the group it was opened with: each rank reads some of the blocks of all tensors
 * whose names begin with `folder` ("/": all) and holds them against their checksums. *bytes: of
 * these tensors; it may be NULL. Error (65) naming the tensor and the block. */
Status checkpoint_verify(Checkpoint *checkpoint, const char *folder, int64_t *bytes);

/* Collective over the group it was opened with. All tensors whose names begin with `folder`, with
 * the types of the file and no boxes; the caller frees *tensors. */
Status checkpoint_tensors(Checkpoint *checkpoint, const char *folder, CheckpointTensor **tensors,
                          int *count);
/* Collective over the group it was opened with. */
Status checkpoint_shape(Checkpoint *checkpoint, const char *name, Shape *shape);

/* Files, newest first: each worth a try when those before it are damaged. */
typedef struct CheckpointList {
    char (*paths)[PAL_PATH_SIZE];
    int count;
} CheckpointList;

/* Local. The checkpoints of a folder RUN, the newest first; none where the folder is not there.
 * Free with checkpoint_list_free. Error: the folder cannot be read (66). */
Status checkpoint_list(const char *run, CheckpointList *list);
/* Local, for a run that has found none. Error: there is a `latest`, so it had some (66). */
Status checkpoint_check_none_lost(const char *run);
/* Local, by a process that has locked the run, which begins anew and has no checkpoint. */
void checkpoint_forget_latest(const char *run);
/* Local. What the name says; -1 where it is none of a checkpoint in a run. */
int64_t checkpoint_update_of(const char *path);
/* Local. */
bool checkpoint_same_list(const CheckpointList *a, const CheckpointList *b);
void checkpoint_list_free(CheckpointList *list);

/* Local, by a process that has locked the run, which goes on from this checkpoint: files of later
 * updates get another name (.left), so that they are not taken for the run's own, and nobody
 * removes them; `latest` points to this one. A failure is warned about. */
void checkpoint_go_on_from(const char *run, int64_t update);

/* Local, by a process that has locked the run, before the checkpoint of this update is written
 * again: files of later updates, which the run has gone back from, get another name (.rewound) and
 * are removed when there are as many newer ones as are kept. A failure is warned about. */
void checkpoint_rewind(const char *run, int64_t update);

/* Local, by a process that has locked the run. Gives a file of the list that is damaged a name that
 * no run takes for a checkpoint's: it must not count as one of those that are kept. A failure is
 * warned about. */
void checkpoint_set_aside(const char *path);

/* Local, by a process that has locked the run. Removes what saves that were killed have left in
 * RUN/checkpoints, and nothing else; says so in the log. */
void checkpoint_clean(const char *run);

/* Local. The file meant by `path`: a file, a folder RUN or RUN/checkpoints (their `latest`, else
 * the highest step). Error: PAL_ERROR_NO_INPUT. */
Status checkpoint_find(const char *path, char found[PAL_PATH_SIZE]);
/* Collective over the group: one rank finds it for all, since a run that goes on meanwhile may move
 * `latest`. */
Status checkpoint_find_for(const Group *group, const char *path, char found[PAL_PATH_SIZE]);

#endif
