/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread of every rank that notices when the rank makes no progress (base/whereabouts.h) for
 * longer than its section's limit: a rank is stopped or dead, a node is cut off, a file system
 * does not answer. Then each rank reports what it does, with the calls that its main thread is in,
 * to stderr and RUN/watchdog/rank-N.txt; the lowest rank that has reported names those that have
 * not, or that keep the others waiting, in RUN/log.txt; and all end with PAL_ERROR_HUNG, so that
 * the batch system starts the job again. A command without a run folder reports to stderr alone.
 *
 * Nothing of it needs MPI or the main thread. Time in which the whole process was stopped (SIGSTOP,
 * a suspended job) does not count.
 */
#ifndef PAL_RUN_WATCHDOG_H
#define PAL_RUN_WATCHDOG_H

#include "io/config.h"
#include "mpi/grid.h"

/* Local, main thread, before MPI is started: from now on with the default limits. */
void watchdog_start(void);

/* Collective over all ranks. From now on with these limits, and with the names of all hosts.
 * `folder` is RUN, which is there; earlier reports are removed from it. NULL: to stderr alone. */
void watchdog_know(const WatchdogConfig *limits, const Grid *grid, const char *folder);

#endif
