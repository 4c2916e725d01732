/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs when in a pipeline: the 1F1B schedule (Narayanan et al. 2019, 2021; PipeDream-flush),
 * as one list of actions per stage. Pure arithmetic, no communication, tested without MPI.
 *
 * With 3 stages and 4 micro-batches, F3 the forward of micro-batch 3 and B3 its backward (here it
 * takes two steps):
 *
 *     stage 0   F0 F1 F2             B0 B0 F3 B1 B1    B2 B2    B3 B3
 *     stage 1      F0 F1       B0 B0 F2 B1 B1 F3 B2 B2    B3 B3
 *     stage 2         F0 B0 B0 F1 B1 B1 F2 B2 B2 F3 B3 B3
 *
 * A stage first fills the stages behind it, then alternates, then drains; so it keeps the
 * activations of few micro-batches (flights), however many an update has.
 *
 * A forward waits for the same micro-batch's forward of the stage before, a backward for its
 * backward of the stage behind, and for nothing else. Sends must not wait for their receiver:
 * neighbours that alternate send to each other at the same moment.
 */
#ifndef PAL_MPI_PIPELINE_SCHEDULE_H
#define PAL_MPI_PIPELINE_SCHEDULE_H

typedef enum PipelineWork { PIPELINE_FORWARD, PIPELINE_BACKWARD } PipelineWork;

typedef struct PipelineAction {
    PipelineWork work;
    int micro_batch;
    int flight; /* micro_batch % flights: the slot that holds its activations */
} PipelineAction;

/* Where a micro-batch stands in an update. */
typedef struct PipelinePlace {
    int window, group; /* window of the update, group of rows */
} PipelinePlace;

/* The most micro-batches of which this stage has run the forward and not yet the backward: on the
 * last stage 1, on the others min(stages - stage + run_ahead, micro_batches). run_ahead = 0 is
 * 1F1B itself, in which a stage that is a moment late makes its neighbours wait; a stage that is
 * further ahead has left them work. Stages count from 0; micro_batches >= 1. Local. */
int pipeline_flights(int stages, int stage, int micro_batches, int run_ahead);

/* Fills `actions`, 2 * micro_batches of them in the order in which a stage with so many flights
 * runs them, and returns their number. Forwards go through the micro-batches in order, and so do
 * backwards. Local. */
int pipeline_schedule(int flights, int micro_batches, PipelineAction *actions);

/* The share of an update that every stage waits when all stages take equally long:
 * (S - 1) / (m + S - 1) for S stages and m micro-batches. Local. */
double pipeline_idle_share(int stages, int micro_batches);

/* Micro-batches are in reading order: all row groups of one window, then those of the next, so that
 * a window's forward finds the memory that the window before has left. Local. */
static inline PipelinePlace pipeline_place(int groups, int micro_batch)
{
    return (PipelinePlace){.window = micro_batch / groups, .group = micro_batch % groups};
}

#endif
