/* SPDX-License-Identifier: Apache-2.0
 *
 * Adds up the losses of a split's tokens as windows are read: by document, and as asked for by
 * token and by the target's frequency. Every token has to come exactly once.
 */
#ifndef PAL_RUN_COLLECTOR_H
#define PAL_RUN_COLLECTOR_H

#include "io/batch_order.h"
#include "io/dataset.h"
#include "mpi/grid.h"
#include "src/layers/window.h"
#include "src/run/frequency.h"
#include "src/tensor/arena.h"

typedef struct Collector {
    const DataSplit *split; /* borrowed */
    Real *window_nats;      /* (B,T) of a window, on the host */
    double *nats, *tokens;  /* (documents) of this rank; collector_end: of all ranks */
    float **token_nats;     /* with losses: per document, of this rank's documents; else NULL */
    const char *quantity;   /* what token_nats are called in a file: "nats", unless it is set */
    Frequency *frequency;   /* borrowed; NULL: not measured */
    Status status;          /* of this rank */
} Collector;

/* Local, before the arena is sealed. positions: B T of the largest window. */
void collector_create(Collector *collector, Arena *arena, const DataSplit *split,
                      int64_t positions);

/* Local. Nothing is added up. losses: also keeps the nats of every token. Error: no memory. */
Status collector_begin(Collector *collector, bool losses);

/* Local. Takes collector->window_nats (B,T). rows: what all rows of the batch read in this window;
 * row b of the window is rows[window->first_row + b]. What fails stands in collector->status. */
void collector_add(Collector *collector, const Window *window, const RowWindow *rows);

/* Collective over the group. nats and tokens of all ranks; losses: a path for the nats of every
 * token (losses_file.h), or NULL. Errors: a token was not counted once (70); the file's (73, 74). */
Status collector_end(Collector *collector, const Group *group, const char *losses);

/* Local. Frees what collector_begin has taken. */
void collector_forget(Collector *collector);

#endif
