/* SPDX-License-Identifier: Apache-2.0
 *
 * One rank's work on an update: forward and backward of its stage for every micro-batch, in the
 * order of mpi/pipeline_schedule.h, and what passes between neighbouring stages. With one stage it
 * is forward, backward, forward, backward, ... and nothing passes.
 */
#ifndef PAL_RUN_PIPELINE_H
#define PAL_RUN_PIPELINE_H

#include "mpi/pipeline_schedule.h"
#include "src/model/model.h"

typedef struct Pipeline {
    const Group *group;                 /* the pipeline group, borrowed */
    Model *model;                       /* borrowed */
    Tensor inbox, gradient_inbox;       /* (B,T/P,D) what arrives meanwhile */
    Transfer receive, gradient_receive; /* into them */
    Transfer *send;                     /* (flights) out of flight->last */
    Tensor gradient_outbox;             /* (B,T/P,D) on its way while the next flight begins */
    Transfer gradient_send;             /* out of it */
    PipelineAction *actions;            /* (2 most micro-batches) */
} Pipeline;

/* Where micro-batches come from and what is made of them. */
typedef struct PipelineHooks {
    void *context;
    /* The next window of all rows of this rank, padded to B x row groups. */
    void (*next_window)(void *context, Window *window);
    /* After a micro-batch's forward. */
    void (*after_forward)(void *context, const Flight *flight);
    /* After the last micro-batch's backward through a layer of this stage: its gradients of the
     * main group that are split over the tensor group are final. */
    void (*after_layer)(void *context, int layer);
} PipelineHooks;

/* Local. most_micro_batches: of an update; 0 without backward. */
void pipeline_create(Pipeline *pipeline, const Group *group, Model *model, Arena *arena,
                     int most_micro_batches);

/* Collective over the pipeline and tensor groups: one update of so many windows. */
void pipeline_run(Pipeline *pipeline, int windows, const PipelineHooks *hooks);

/* Collective over the pipeline and tensor groups: one window, forward only. */
void pipeline_forward(Pipeline *pipeline, const Window *window);

/* Collective over the pipeline group. Waits until nothing is under way any more. */
void pipeline_finish(Pipeline *pipeline);

#endif
