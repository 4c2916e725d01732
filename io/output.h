/* SPDX-License-Identifier: Apache-2.0
 *
 * What must be true of a file's name before the work begins whose result it is to hold.
 */
#ifndef PAL_IO_OUTPUT_H
#define PAL_IO_OUTPUT_H

#include "src/base/status.h"

/* A format that no file has: nothing is replaced. */
#define OUTPUT_NEW ""

/* Local. `path` can be made: its folder is there and may be written to; and what is there already
 * is an empty file or an HDF5 file of this format (NULL: of none), as nothing else is replaced.
 * Errors: PAL_ERROR_CANT_CREATE; no name at all: PAL_ERROR_USAGE. */
Status output_check(const char *path, const char *format);

#endif
