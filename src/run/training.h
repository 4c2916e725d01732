/* SPDX-License-Identifier: Apache-2.0
 *
 * A training run in memory: model, feed, counters; and one update of it. Files belong to
 * command_train.c, timing tables to command_bench.c.
 */
#ifndef PAL_RUN_TRAINING_H
#define PAL_RUN_TRAINING_H

#include "src/model/model.h"
#include "src/optim/optimizer.h"
#include "src/optim/schedule.h"
#include "src/run/bad_steps.h"
#include "src/run/feed.h"
#include "src/run/pipeline.h"
#include "src/run/session.h"

/* What a training reads. */
typedef enum TrainingText {
    TEXT_ENDLESS, /* a split again and again, in the order of the configuration */
    TEXT_ONCE,    /* a split once, in its own order */
    TEXT_RANDOM,  /* random tokens without end: for timing */
} TrainingText;

/* Sees every micro-batch after its forward, on the ranks that know its losses; those are of the
 * weights before the update. feed.row_windows says what its rows read. */
typedef struct FlightHook {
    void (*call)(void *context, const Flight *flight); /* NULL: none */
    void *context;
} FlightHook;

typedef struct Training {
    Session *session; /* borrowed */
    Placement place;
    Parameters parameters;
    Optimizer optimizer;
    Model model;
    Pipeline pipeline;
    Feed feed;
    Schedule schedule;
    Range rows;                      /* this rank's of R */
    int64_t update, windows, tokens; /* done: updates, windows per row, counted targets */
    int64_t evaluated;               /* the update whose weights were evaluated last */
    int64_t data_checksum;           /* dataset_checksum() */
    BadSteps bad_steps;              /* which updates are skipped */
    unsigned char *bad_rows;         /* (R) whose memory is not finite */
    double *sums;                    /* what one reduction carries, see training.c */
    double *layer_scale;             /* (L) */
    Status status;                   /* of reading, in the running update */
    FlightHook flight_hook;
    bool asks_to_save;    /* what the caller wants all ranks to know with the next update */
    int64_t reduced_from; /* gradients of the flat buffer from here on are on their way */
} Training;

/* What one update did; the same on every rank but for the seconds. */
typedef struct UpdateReport {
    int64_t update, tokens; /* tokens: counted targets of this update */
    int windows;
    StepVerdict verdict;       /* other than STEP_GOOD: the update was skipped */
    int64_t skips;             /* in a row: with this one, or those that this good one has ended */
    int emptied_rows;          /* of all ranks: their memory was not finite */
    bool stop;                 /* some rank has a request to stop */
    bool save;                 /* some rank asks to save */
    double loss;               /* nats per token */
    double loss_z;             /* bad_steps_z() */
    double compression_loss;   /* mean over the layers that compress; 0 without */
    double norms[GROUP_COUNT]; /* before clipping */
    double learning_rate;
    double seconds;
    double own_seconds;      /* of them, those in which this rank did not wait for others */
    double pipeline_seconds; /* of them for the micro-batches: all but reduction and optimiser */
    double operations;       /* of matrix products, mean over the ranks, see tensor/device.h */
    Traffic traffic;         /* mean over the ranks */
    double wait_share,
        most_wait_share; /* of the update's seconds: mean and largest over the ranks */
} UpdateReport;

/* Collective over all ranks. Opens the data, unless it is random, and takes all memory from the
 * session's arena (the caller seals it, then calls training_start). Errors: those of the data file.
 */
Status training_create(Training *training, Session *session, TrainingText text, Split split);

/* Collective over all ranks. Constant tables; the log says how the rolling memory is spread. What
 * follows is training_initialize() or resume_load(). */
void training_start(Training *training);

/* Local. Initial weights, from the seed: the same on every grid. */
void training_initialize(Training *training);

/* Collective over all ranks: the windows of one update, reduction, optimiser. An update that is bad
 * (bad_steps.h) is skipped by all ranks: counters, data and memory go on, weights and moments are
 * as before. Error: reading the data failed on some rank; then every rank returns it. */
Status training_update(Training *training, UpdateReport *report);

/* Collective over all ranks. */
void training_destroy(Training *training);

/* Collective over all ranks, before training_create and before a run folder is made: what the
 * user may have got wrong about ranks, rows and data. The data file gives the vocabulary, and
 * *data_checksum says which text it is (io/dataset.h). Errors: those of the data file. */
Status training_check_input(Session *session, int64_t *data_checksum);

#endif
