/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks agree on requests to stop (base/stop.h): some may have got a signal earlier than others, or
 * alone, and clocks differ.
 */
#ifndef PAL_RUN_STOPPING_H
#define PAL_RUN_STOPPING_H

#include "mpi/grid.h"
#include "src/base/stop.h"

/* Collective over the group. The most urgent request of any rank. */
StopReason stopping_agree(const Group *group);

#endif
