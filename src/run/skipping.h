/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of an update that is not made (bad_steps.h): the memory that it has spoiled, and
 * what people, scripts and timings are told.
 */
#ifndef PAL_RUN_SKIPPING_H
#define PAL_RUN_SKIPPING_H

#include "io/metrics.h"
#include "src/run/training.h"

/* Collective over all ranks. Rows whose memory, in any layer and on any rank, holds something that
 * is not finite begin again with empty memory: every later window would read it. Returns how many
 * rows of the batch. */
int skipping_empty_rows(Training *training);

/* Local. A warning; and the fields of the update's line of metrics, which may be NULL. */
void skipping_tell(const Training *training, const UpdateReport *report);
void skipping_record(Metrics *metrics, const UpdateReport *report);

/* The failure (70) of a run that cannot go on; `why` follows what the update's numbers were. */
Status skipping_diverged(const UpdateReport *report, const char *why);

/* Collective over all ranks. training_update() where nobody goes on after a skipped one. Error
 * (70): the update had numbers that are not finite. */
Status skipping_refuse(Training *training, UpdateReport *report);

#endif
