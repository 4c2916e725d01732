/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that appear whole or not at all: written under a temporary name beside the final one, then
 * synced and renamed.
 */
#ifndef PAL_IO_PUBLISH_H
#define PAL_IO_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>

#include "src/base/status.h"

/* Local. Makes the folder and those above it; fine if it is there. Error: PAL_ERROR_CANT_CREATE. */
Status make_folders(const char *path);

/* Local. "a/b.h5" to "a/b.h5.part". Error: PAL_ERROR_USAGE when the name is too long. */
Status publish_temporary(const char *path, char *temporary, size_t size);

/* Local. Before work whose result goes to `path`: that is not a folder, a device or the like, and not
 * a file of another kind than HDF5, which would be lost. Errors: PAL_ERROR_CANT_CREATE; no name at
 * all: PAL_ERROR_USAGE. */
Status publish_check(const char *path);

/* Local. Both names are there and mean one file. */
bool publish_same_file(const char *a, const char *b);

/* Local. Syncs the closed file, renames it, syncs the folder. Error: PAL_ERROR_IO; then the
 * temporary file is removed. */
Status publish_file(const char *temporary, const char *path);

/* Local. The link `path` points to `target` from now on, in one step. Error: PAL_ERROR_IO. */
Status publish_link(const char *target, const char *path);

#endif
