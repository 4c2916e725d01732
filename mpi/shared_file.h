/* SPDX-License-Identifier: Apache-2.0
 *
 * One file that the ranks of a group write together, each its own bytes, at places that somebody
 * else has laid out.
 *
 * There are three ways to the disk, chosen by the user since which is fastest is a matter of the
 * file system (jobs/bench-checkpoints.sh compares them):
 *
 *     direct        every rank by itself with pwrite(); sends no message, so a background thread
 *                   may use it beside anything
 *     independent   every rank by itself through MPI-IO
 *     collective    all together through MPI-IO, which gathers small pieces on a few ranks first
 */
#ifndef PAL_MPI_SHARED_FILE_H
#define PAL_MPI_SHARED_FILE_H

#include <stdint.h>

#include "mpi/grid.h"
#include "src/base/status.h"

typedef enum FileTransfer {
    TRANSFER_DIRECT,
    TRANSFER_INDEPENDENT,
    TRANSFER_COLLECTIVE
} FileTransfer;

typedef struct SharedFile SharedFile;

/* Bytes that lie together in memory and in pieces of `length` in the file, piece i at offsets[i];
 * offsets ascend. */
typedef struct FilePieces {
    int64_t length, count;
    const int64_t *offsets;
} FilePieces;

/* Opens a file that is there. Local, but with TRANSFER_COLLECTIVE collective over the group, which
 * outlives the file; then all ranks have the same outcome. Error: PAL_ERROR_IO. */
Status shared_file_open(SharedFile **file, const char *path, const Group *group, FileTransfer how);

/* Local, but with TRANSFER_COLLECTIVE all ranks call it equally often, one that has nothing with no
 * pieces. At most 2 GiB in one call through MPI-IO. Error (PAL_ERROR_IO), this rank's alone. */
Status shared_file_write(SharedFile *file, FilePieces pieces, const void *bytes);

/* Local, but with TRANSFER_COLLECTIVE collective over the group; sets NULL. What this rank has
 * written is on the disk afterwards. Error (PAL_ERROR_IO), this rank's alone. */
Status shared_file_close(SharedFile **file);

/* Local, but with TRANSFER_COLLECTIVE collective over the group; accepts NULL, sets NULL. For the
 * way out after a failure: closes what nobody wants any more without waiting for the disk, and
 * leaves status_message() as it is. */
void shared_file_abandon(SharedFile **file);

/* Local. What does MPI-IO here, as a log says it: the component that Open MPI was told to take
 * (parameter io: "romio321", "ompio"), "the library's default"; with TRANSFER_DIRECT "". */
void shared_file_component(FileTransfer how, char name[64]);

#endif
