/* SPDX-License-Identifier: Apache-2.0
 *
 * RUN/: config.ini (complete, as used), log.txt, metrics.jsonl, checkpoints/.
 */
#ifndef PAL_RUN_RUN_FOLDER_H
#define PAL_RUN_RUN_FOLDER_H

#include "io/metrics.h"
#include "src/run/session.h"

/* Collective over all ranks; rank 0 makes the folder and opens its files. wanted NULL: runs/NAME of
 * NAME.ini. *metrics stays NULL on other ranks.
 * Errors: cannot be made or written (73); it already holds checkpoints of another run (73). */
Status run_folder_create(const Session *session, const char *wanted, const char *config_path,
                         char folder[PAL_PATH_SIZE], Metrics **metrics);

#endif
