/* SPDX-License-Identifier: Apache-2.0
 *
 * RUN/: config.ini (complete, as used), log.txt, metrics.jsonl, checkpoints/.
 */
#ifndef PAL_RUN_RUN_FOLDER_H
#define PAL_RUN_RUN_FOLDER_H

#include "io/checkpoint.h"
#include "io/metrics.h"
#include "src/run/session.h"

/* Local, the same on every rank. wanted NULL: runs/NAME of NAME.ini. */
Status run_folder_name(const char *wanted, const char *config_path, char folder[PAL_PATH_SIZE]);

/* Collective over all ranks; rank 0 makes the folder if it is not there, opens its files, and
 * removes what killed saves have left. resumed: what the run goes on from, NULL when it
 * begins anew; the metrics of later updates are removed. *metrics stays NULL on other ranks.
 * Errors: cannot be made or written, or another run is going on there (73). */
Status run_folder_open(const Session *session, const char *folder, const CheckpointState *resumed,
                       Metrics **metrics);

#endif
