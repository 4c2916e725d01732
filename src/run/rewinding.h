/* SPDX-License-Identifier: Apache-2.0
 *
 * Going back: after too many skipped updates in a row (bad_steps.h) a run takes the weights, the
 * moments and the recent losses of an earlier checkpoint of its own, and its update and token
 * counters with them. Everything else stays where it is: the rows go on in their books behind the
 * offending text, with empty memories, and random streams are counted on.
 *
 * The run as it then is replaces that checkpoint, so that a run which is killed right after it does
 * not meet the same text again.
 */
#ifndef PAL_RUN_REWINDING_H
#define PAL_RUN_REWINDING_H

#include "io/metrics.h"
#include "src/run/saving.h"
#include "src/run/training.h"

/* Collective over all ranks, after the update of this report; metrics: on rank 0, else NULL. Waits
 * for the save under way. Errors: no checkpoint, or it has gone back too often without coming
 * further (70); reading one. */
Status rewinding_go_back(Training *training, Saving *saving, const char *folder, Metrics *metrics,
                         const UpdateReport *report);

#endif
