/* SPDX-License-Identifier: Apache-2.0
 *
 * A training run's checkpoints: when one is asked for, and what the log says about it. A save that
 * fails leaves the run and the earlier checkpoints alive.
 */
#ifndef PAL_RUN_SAVING_H
#define PAL_RUN_SAVING_H

#include "io/checkpoint_saver.h"
#include "src/run/snapshot.h"
#include "src/run/training.h"

typedef struct Saving {
    Training *training; /* borrowed */
    Snapshot snapshot;
    CheckpointSaver *saver;
    char *configuration;     /* owned */
    int64_t saved;           /* update of the newest checkpoint that this run has; -1: none */
    int64_t saved_evaluated; /* the `evaluated` in it */
    int64_t scheduled;       /* update of the newest one that was made at its time; -1: none */
    int64_t begun_evaluated; /* the same two with the checkpoint that was begun last */
    int64_t begun_scheduled;
    Status last;    /* how the latest save ended */
    double longest; /* seconds of work on a save so far */
} Saving;

/* Local, the same on every rank, before anything is made. Error (PAL_ERROR_CONFIG): not into a
 * folder of this name by this transfer. */
Status saving_check_folder(const CheckpointConfig *options, const char *folder);

/* Collective over all ranks, after training_create and before the arena is sealed. `folder` is RUN.
 * resumed: what the run goes on from, when that is a checkpoint of this folder; else NULL. */
Status saving_create(Saving *saving, Training *training, const char *folder,
                     const CheckpointState *resumed);
/* Collective over all ranks. Waits for what is under way. Accepts what was never created. */
void saving_destroy(Saving *saving);

/* Local. Counters and configuration of the run as it is now. */
CheckpointState saving_state(const Saving *saving);

/* Local, when the arena is sealed. The log says how saves are done. */
void saving_start(Saving *saving);

/* Local. Bytes of a checkpoint, and the longest time that work on one took so far, in seconds. */
double saving_bytes(const Saving *saving);
double saving_longest(const Saving *saving);

/* Collective over all ranks, when a checkpoint is due. The run as it is now; waits for the save
 * before. */
void saving_begin(Saving *saving);
/* Collective over all ranks; after every update. */
void saving_poll(Saving *saving);
/* Collective over all ranks, when the run ends. The run as it is now is on the disk afterwards,
 * else the error says why not. due: there would be a checkpoint here in any case. */
Status saving_now(Saving *saving, bool due);
/* Collective over all ranks. Waits for the save under way. */
void saving_wait(Saving *saving);
/* Collective over all ranks, while none is under way. The run as it is now, in place of the
 * checkpoint of the same update, is on the disk afterwards; else the log says why not. */
void saving_replace(Saving *saving);

#endif
