/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that appear whole or not at all: written under a temporary name beside the final one, then
 * synced and renamed.
 */
#ifndef PAL_IO_PUBLISH_H
#define PAL_IO_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>

#include "mpi/grid.h"
#include "src/base/status.h"

/* Local. Makes the folder and those above it; fine if it is there. Error: PAL_ERROR_CANT_CREATE. */
Status make_folders(const char *path);

/* Local. "a/b.h5" to "a/b.h5.part". Error: PAL_ERROR_USAGE when the name is too long. */
Status publish_temporary(const char *path, char *temporary, size_t size);

/* Local. The folder that the file stands in: of "a/b.h5" "a", of "b.h5" ".". */
void publish_folder(const char *path, char *folder, size_t size);

/* Collective over the group, after its root has made the file or folder: every rank finds it there.
 * Error on every rank (PAL_ERROR_CANT_CREATE), with the rank and its host that do not. */
Status publish_seen(const char *path, const Group *group);

/* Local. Both names are there and mean one file. */
bool publish_same_file(const char *a, const char *b);

/* Local. Syncs the closed file, renames it, syncs the folder. Error: PAL_ERROR_IO; then the
 * temporary file is gone and an earlier one of that name is as it was, unless the message says that
 * only the folder could not be synced. */
Status publish_file(const char *temporary, const char *path);

/* Local. The link `path` points to `target` from now on, in one step. Error: PAL_ERROR_IO. */
Status publish_link(const char *target, const char *path);

#endif
