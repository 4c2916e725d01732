/* SPDX-License-Identifier: Apache-2.0
 *
 * Names in RUN/checkpoints, for the checkpoint*.c files.
 */
#ifndef PAL_IO_CHECKPOINT_FILES_H
#define PAL_IO_CHECKPOINT_FILES_H

#include <stdint.h>

#include "io/checkpoint.h"

/* Local. "RUN/checkpoints/step-00001000.h5". Error: PAL_ERROR_CANT_CREATE when too long. */
Status checkpoint_name(const char *run, int64_t update, char path[PAL_PATH_SIZE]);

/* Local. Moves RUN/checkpoints/latest to this update and removes files of earlier updates beyond
 * the newest `keep`, but for that of update `scheduled`, which the run may have to go back to. What
 * cannot be removed is warned about. */
void checkpoint_announce(const char *run, int64_t update, int keep, int64_t scheduled);

#endif
