/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a run begins: anew, or from a checkpoint.
 */
#ifndef PAL_RUN_RESUME_H
#define PAL_RUN_RESUME_H

#include "io/checkpoint.h"
#include "src/run/training.h"

typedef struct Resume {
    Checkpoint *checkpoint; /* NULL: the run begins anew */
    char path[PAL_PATH_SIZE];
    bool same_folder;   /* it is one of the run's own */
    double seconds;     /* spent on reading */
    CheckpointList own; /* those that the run's folder has; on rank 0 */
    int damaged;        /* so many of these, the newest, were passed over */
} Resume;

/* Collective over all ranks; leaves all files as they are. wanted: "auto" (the newest whole
 * checkpoint of `folder`, where there is one), "none", or a file or folder. What was damaged is
 * warned about and the one before is taken (only with "auto"). Errors: no such file, or it cannot
 * be opened (66); damaged, or saved with other data (65); another number of rows or another model
 * (78, with both values); "none", or a file of another run, in a folder that has checkpoints (64).
 */
Status resume_find(Resume *resume, const Session *session, int64_t data_checksum,
                   const char *wanted, const char *folder);

/* Collective over all ranks, while no save is under way: the checkpoint of the folder, of update
 * `last` at most, to which a run that is at that update goes back: the newest whole one that was
 * made at its time, so that it is the same one whether the run was stopped in between or not; else
 * the newest whole one; NULL: none. What is damaged is warned about. */
Status resume_find_earlier(Resume *resume, const Group *world, const char *folder, int64_t last);

/* Collective over all ranks, after training_start, where there is a checkpoint: the run goes on as
 * it was saved. Closes the checkpoint. */
Status resume_load(Resume *resume, Training *training);

/* Local, by the process that has locked the run folder since. Error (PAL_ERROR_BUSY): another run
 * has saved or removed checkpoints there after resume_find() had looked at them. */
Status resume_check(const Resume *resume, const char *folder);

/* Local, by the process that has locked the run folder, after resume_load(), when nothing else can
 * fail: what was passed over as damaged, and what is of updates later than this one, which the run
 * goes on from, does not count among the folder's checkpoints any more. */
void resume_take(const Resume *resume, const char *folder, int64_t update);

/* Collective over all ranks. Accepts {0}. */
void resume_close(Resume *resume);

#endif
