/* SPDX-License-Identifier: Apache-2.0
 *
 * A text in memory becomes a file, whole or not at all.
 */
#ifndef PAL_IO_WHOLE_FILE_H
#define PAL_IO_WHOLE_FILE_H

#include "io/json.h"
#include "src/base/status.h"

/* Local. Errors: the text lacks something (PAL_ERROR_UNAVAILABLE); PAL_ERROR_CANT_CREATE;
 * PAL_ERROR_IO, e.g. a full disk. */
Status whole_file_write(const char *path, const JsonText *text);

/* Local. Appends all of a file. Errors: PAL_ERROR_NO_INPUT, PAL_ERROR_IO, PAL_ERROR_UNAVAILABLE. */
Status whole_file_read(const char *path, JsonText *text);

#endif
