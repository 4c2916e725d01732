/* SPDX-License-Identifier: Apache-2.0
 *
 * RUN/: config.ini (complete, as used), log.txt, metrics.jsonl, checkpoints/.
 */
#ifndef PAL_RUN_RUN_FOLDER_H
#define PAL_RUN_RUN_FOLDER_H

#include "io/checkpoint.h"
#include "io/metrics.h"
#include "src/run/resume.h"
#include "src/run/training.h"

/* Local, the same on every rank. wanted NULL: runs/NAME of NAME.ini. */
Status run_folder_name(const char *wanted, const char *config_path, char folder[PAL_PATH_SIZE]);

/* Collective over all ranks; rank 0 makes the folder if it is not there and opens metrics, which
 * keeps other runs out, and log. All else stays as it was. *metrics stays NULL on other ranks.
 * Errors: cannot be made or written (73); another run is going on there, or has been since
 * resume_find() (72). */
Status run_folder_open(const Grid *grid, const char *folder, const Resume *resume,
                       Metrics **metrics);

/* Collective over all ranks, when the training is as it will go on, and nothing else can fail: what
 * is there becomes what this start goes on from. Later checkpoints get other names, later metrics
 * and what killed saves have left are removed. Error: config.ini or metrics cannot be written. */
Status run_folder_take(const Training *training, const char *folder, const Resume *resume,
                       Metrics *metrics);

#endif
