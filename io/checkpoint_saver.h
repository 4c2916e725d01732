/* SPDX-License-Identifier: Apache-2.0
 *
 * The checkpoints of a run, one after another, in the foreground or behind training's back.
 *
 * Asynchronous: this rank's numbers are copied to staging memory, and training goes on. A thread of
 * the root lays the file out, then a thread of every rank writes, then one of the root gives the
 * file its name; that all are through with a step is asked by saver_poll(). The threads send no
 * message, so any MPI library will do.
 */
#ifndef PAL_IO_CHECKPOINT_SAVER_H
#define PAL_IO_CHECKPOINT_SAVER_H

#include "io/checkpoint_write.h"
#include "src/tensor/arena.h"

typedef struct CheckpointSaver CheckpointSaver;

/* Copies this rank's part of a tensor, as it is now, as the file has it. */
typedef struct CheckpointSource {
    void *context;
    void (*copy)(void *context, int tensor, void *to);
} CheckpointSource;

/* How a save ended. */
typedef struct CheckpointOutcome {
    Status status;      /* of PAL_OK, or why there is no such checkpoint, on every rank */
    char message[2048]; /* of a failure */
    int64_t update;
    char path[PAL_PATH_SIZE];
    double seconds; /* from the request until it had its name */
    double stalled; /* of them, those that training waited */
    double worked;  /* of them, those that some rank was copying or writing: what a save takes where
                     * training does nothing but wait for it */
    double bytes;   /* of all ranks */
} CheckpointOutcome;

/* Collective over the group, which outlives the saver, as do the source and the arena, which is not
 * sealed yet: staging memory comes from it. With `async` and a transfer other than TRANSFER_DIRECT
 * saves are synchronous: their messages would meet training's. */
void saver_create(CheckpointSaver **saver, const Group *group, Arena *arena, const char *run,
                  int keep, FileTransfer transfer, bool async, const CheckpointTensor *tensors,
                  int num_tensors, CheckpointSource source);
/* Local, when the arena is sealed: the system gives the staging memory now, not to the first save.
 */
void saver_warm_up(CheckpointSaver *saver);
/* Local. The saver has been waited for. Accepts NULL, sets NULL. */
void saver_destroy(CheckpointSaver **saver);

/* Local; the same on every rank. */
bool saver_is_async(const CheckpointSaver *saver);
double saver_bytes(const CheckpointSaver *saver);         /* of one checkpoint, all ranks' */
size_t saver_own_bytes(const CheckpointSaver *saver);     /* of one checkpoint, this rank's */
double saver_staging_bytes(const CheckpointSaver *saver); /* of the rank that has most */

/* Collective over the group; no save is under way. Nobody changes the numbers before it returns,
 * which of a synchronous save is its end; state->configuration lives until then. */
void saver_begin(CheckpointSaver *saver, const CheckpointState *state);

/* Collective over the group. True when a save has ended since saver_begin(), well or not: *outcome
 * says how. Between saves false, without a message. */
bool saver_poll(CheckpointSaver *saver, CheckpointOutcome *outcome);
/* The same, and waits for the save that is under way. */
bool saver_wait(CheckpointSaver *saver, CheckpointOutcome *outcome);

#endif
