/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one checkpoint, in steps, so that all of it but the third can be done by background
 * threads:
 *
 *     checkpoint_writing_begin   each rank   the file's names
 *     checkpoint_lay_out         one rank    makes the file: names, shapes, attributes, room
 *     checkpoint_share           all ranks   get to know where each tensor begins
 *     checkpoint_fill            each rank   its blocks and their checksums, synced
 *     checkpoint_publish         one rank    the file gets its name
 *     checkpoint_writing_end     each rank   an unpublished file is removed
 *
 * HDF5 works in the second step alone: it knows nothing of threads, and it cannot undo a write that
 * failed. What follows are bytes at places that are known, so a full disk or a broken one leaves
 * nothing but a file to be removed.
 */
#ifndef PAL_IO_CHECKPOINT_WRITE_H
#define PAL_IO_CHECKPOINT_WRITE_H

#include "io/checkpoint.h"
#include "io/checkpoint_blocks.h"
#include "mpi/shared_file.h"

/* What is the same for all checkpoints of a run. */
typedef struct CheckpointPlan {
    const Group *group; /* borrowed */
    FileTransfer transfer;
    CheckpointTensor *tensors; /* (num_tensors) owned */
    int num_tensors;
    BlockList blocks;
} CheckpointPlan;

/* One checkpoint on its way. */
typedef struct CheckpointWriting {
    const CheckpointPlan *plan; /* borrowed */
    char path[PAL_PATH_SIZE], temporary[PAL_PATH_SIZE];
    H5File *file;    /* on the group's root: holds the lock */
    int64_t *places; /* (num_tensors + 1) where each tensor begins, and the table of blocks; owned.
                      * Without a table the last one is 0. */
} CheckpointWriting;

/* Collective over the group, which outlives the plan; `tensors` are copied, their boxes borrowed.
 * Asserts that every element has exactly one writer. */
void checkpoint_plan_create(CheckpointPlan *plan, const Group *group, FileTransfer transfer,
                            const CheckpointTensor *tensors, int num_tensors);
void checkpoint_plan_destroy(CheckpointPlan *plan);

/* Local. Bytes of this rank's blocks of one tensor, and of all. */
size_t checkpoint_tensor_bytes(const CheckpointPlan *plan, int tensor);
size_t checkpoint_plan_bytes(const CheckpointPlan *plan);

/* Where the numbers of a tensor are, as the file has them, block after block;
 * valid until the next call. */
typedef struct CheckpointNumbers {
    void *context;
    const void *(*of)(void *context, int tensor);
} CheckpointNumbers;

/* Local; `path` is the file's final name. */
Status checkpoint_writing_begin(CheckpointWriting *writing, const CheckpointPlan *plan,
                                const char *path);

/* Local, on the group's root. Errors: PAL_ERROR_CANT_CREATE, PAL_ERROR_IO. */
Status checkpoint_lay_out(CheckpointWriting *writing, const CheckpointState *state);

/* Collective over the plan's group. `mine`: how laying out went, PAL_OK on ranks that did not.
 * Every rank gets the root's failure, or one that does not see the file. */
Status checkpoint_share(CheckpointWriting *writing, Status mine);

/* Collective over the plan's group with TRANSFER_COLLECTIVE, else local; sends no message with
 * TRANSFER_DIRECT. The outcome is this rank's. */
Status checkpoint_fill(CheckpointWriting *writing, CheckpointNumbers numbers);

/* Local, on the group's root, when all ranks have filled. Error: the file could not be synced or
 * renamed, and is gone. */
Status checkpoint_publish(CheckpointWriting *writing);

/* Local, at the end of each checkpoint, good or bad. Leaves status_message() as it is. */
void checkpoint_writing_end(CheckpointWriting *writing);

/* Collective over the plan's group: all of the steps. */
Status checkpoint_write(const CheckpointPlan *plan, const char *path, const CheckpointState *state,
                        CheckpointNumbers numbers);

#endif
