/* SPDX-License-Identifier: Apache-2.0
 *
 * What is inside the files of this program, as tables for people.
 */
#ifndef PAL_RUN_INSPECTION_H
#define PAL_RUN_INSPECTION_H

#include <stdbool.h>

#include "src/base/status.h"

/* Local. Prints what `path` holds: a checkpoint, a run folder (its latest checkpoint) or a data
 * file; with `documents` also every document of a data file.
 * Errors: not there (66); neither of these, or damaged (65). */
Status inspect_path(const char *path, bool documents);

#endif
