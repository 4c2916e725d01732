/* SPDX-License-Identifier: Apache-2.0
 *
 * What every command that computes stands on: the process grid, the configuration, the device with
 * its threads, and the arena that owns all numbers.
 */
#ifndef PAL_RUN_SESSION_H
#define PAL_RUN_SESSION_H

#include "io/config.h"
#include "mpi/grid.h"
#include "src/base/timer.h"
#include "src/run/arguments.h"
#include "src/tensor/arena.h"
#include "src/tensor/device.h"

typedef struct Session {
    Grid *grid; /* borrowed */
    Config config;
    Device *device;
    Arena *arena;
    PhaseTimes times;
    bool exact_phases;   /* its seconds are the device's too; updates are slower for it */
    double product_rate; /* operations per second per rank, mean over the ranks, see machine.h */
} Session;

/* Collective over all ranks. Rank 0 reads the configuration file with the assignments of --set;
 * the grid is made as it says. */
Status session_read_config(Session *session, Grid *grid, const char *path, const TextList *sets);

/* Collective over all ranks. The same from the configuration that a checkpoint holds; unless this
 * start trains, the number of rows is not that of training then, but follows from the ranks. */
Status session_parse_config(Session *session, Grid *grid, const char *text, const char *name,
                            const TextList *sets, bool trains);

/* Collective over all ranks, after the configuration is known: device, arena. */
Status session_start(Session *session);

/* Collective over all ranks. Ends creation of everything in the arena; prints bytes per rank by
 * purpose. */
Status session_seal(Session *session);

/* Collective over all ranks. Accepts what was only partly started. */
void session_stop(Session *session);

#endif
