/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* syscall */
#include "io/checkpoint_saver.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/checkpoint_files.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/timer.h"
#include "src/base/whereabouts.h"

/* What is going on; the same on every rank. */
typedef enum Step {
    STEP_NONE,
    STEP_LAYING_OUT, /* the root makes the file */
    STEP_FILLING,    /* every rank writes */
    STEP_PUBLISHING, /* the root names the file */
    STEP_ENDED       /* the outcome waits to be fetched */
} Step;

struct CheckpointSaver {
    CheckpointPlan plan;
    CheckpointSource source;
    char run[PAL_PATH_SIZE];
    int keep;
    bool async;
    char *staging;     /* async: all tensors, one after another; else room for the largest one */
    size_t *staged_at; /* (tensors + 1) where each begins */
    size_t own_staging_bytes;
    double most_staging_bytes; /* of any rank */
    Step step;
    CheckpointState state; /* of the save under way */
    CheckpointWriting writing;
    CheckpointOutcome outcome;
    double began;

    /* What this rank's own work of a step came to. A thread writes it and then sets `done`. */
    pthread_t thread;
    bool has_thread;
    double started, worked; /* this step: when, and how long */
    atomic_bool done;
    Status status;
    char message[2048];
};

/* --- where the numbers are -------------------------------------------------------------------- */

static const void *staged_numbers(void *context, int tensor)
{
    const CheckpointSaver *s = context;
    return s->staging + s->staged_at[tensor];
}

static const void *copied_numbers(void *context, int tensor)
{
    const CheckpointSaver *s = context;
    s->source.copy(s->source.context, tensor, s->staging);
    return s->staging;
}

static void place_staging(CheckpointSaver *s, Arena *arena)
{
    enum { ALIGNMENT = 64 }; /* of each tensor's beginning to the next's */
    size_t largest = 0, count = (size_t)s->plan.num_tensors;
    s->staged_at = fatal_calloc(count + 1, sizeof *s->staged_at, "places in staging memory");
    for (int t = 0; t < s->plan.num_tensors; t++) {
        size_t bytes = checkpoint_tensor_bytes(&s->plan, t);
        s->staged_at[t + 1] = (s->staged_at[t] + bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (bytes > largest) largest = bytes;
    }
    size_t bytes = s->async ? s->staged_at[count] : largest;
    s->staging = arena_host(arena, PURPOSE_STAGING, bytes);
    s->own_staging_bytes = bytes;
    s->most_staging_bytes = (double)bytes;
    group_max_double(s->plan.group, &s->most_staging_bytes, 1);
}

void saver_create(CheckpointSaver **saver, const Group *group, Arena *arena, const char *run,
                  int keep, FileTransfer transfer, bool async, const CheckpointTensor *tensors,
                  int num_tensors, CheckpointSource source)
{
    CheckpointSaver *s = fatal_calloc(1, sizeof *s, "the saver of checkpoints");
    checkpoint_plan_create(&s->plan, group, transfer, tensors, num_tensors);
    snprintf(s->run, sizeof s->run, "%s", run);
    s->keep = keep;
    s->source = source;
    s->async = async && transfer == TRANSFER_DIRECT;
    s->outcome.bytes = (double)checkpoint_plan_bytes(&s->plan);
    group_sum_double(group, &s->outcome.bytes, 1);
    place_staging(s, arena);
    *saver = s;
}

void saver_warm_up(CheckpointSaver *saver) { memset(saver->staging, 0, saver->own_staging_bytes); }

void saver_destroy(CheckpointSaver **saver)
{
    CheckpointSaver *s = *saver;
    if (s == NULL) return;
    if (s->has_thread) pthread_join(s->thread, NULL); /* the program is failing otherwise */
    if (s->step != STEP_NONE) checkpoint_writing_end(&s->writing);
    checkpoint_plan_destroy(&s->plan);
    free(s->staged_at);
    free(s);
    *saver = NULL;
}

bool saver_is_async(const CheckpointSaver *saver) { return saver->async; }
double saver_bytes(const CheckpointSaver *saver) { return saver->outcome.bytes; }
size_t saver_own_bytes(const CheckpointSaver *saver) { return checkpoint_plan_bytes(&saver->plan); }
double saver_staging_bytes(const CheckpointSaver *saver) { return saver->most_staging_bytes; }

/* --- the two pieces of work of a rank --------------------------------------------------------- */

static void remember(CheckpointSaver *s, Status status)
{
    s->worked = timer_seconds() - s->started;
    s->status = status;
    snprintf(s->message, sizeof s->message, "%s", status == PAL_OK ? "" : status_message());
    atomic_store(&s->done, true);
}

/* Where every core computes, a thread that writes at full speed would make its core's share of
 * every update the last to be ready. At this priority it gets a tenth of a busy core, and all of an
 * idle one. */
static void give_way(void)
{
    enum { NICENESS = 10 };
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICENESS);
}

/* While it holds the lock nobody else of this process is in HDF5. */
static void *lay_out(void *context)
{
    CheckpointSaver *s = context;
    h5_enter();
    Status status = checkpoint_lay_out(&s->writing, &s->state);
    h5_leave();
    remember(s, status);
    return NULL;
}

static void *fill(void *context)
{
    CheckpointSaver *s = context;
    if (s->has_thread) give_way();
    CheckpointNumbers numbers = {s, s->async ? staged_numbers : copied_numbers};
    remember(s, checkpoint_fill(&s->writing, numbers));
    return NULL;
}

static void *publish(void *context)
{
    CheckpointSaver *s = context;
    Status status = checkpoint_publish(&s->writing);
    if (status == PAL_OK)
        checkpoint_announce(s->run, s->outcome.update, s->keep, s->state.scheduled);
    remember(s, status);
    return NULL;
}

/* In a thread; here where there are none to be had. */
static void start(CheckpointSaver *s, void *(*work)(void *))
{
    s->started = timer_seconds();
    atomic_store(&s->done, false);
    s->has_thread = s->async;
    if (s->async && pthread_create(&s->thread, NULL, work, s) != 0) s->has_thread = false;
    if (!s->has_thread) (void)work(s);
}

/* --- from step to step, all ranks together ---------------------------------------------------- */

static void enter_end(CheckpointSaver *s, Status status)
{
    s->outcome.status = status;
    snprintf(s->outcome.message, sizeof s->outcome.message, "%s",
             status == PAL_OK ? "" : status_message());
    s->outcome.seconds = timer_seconds() - s->began;
    checkpoint_writing_end(&s->writing);
    s->step = STEP_ENDED;
}

static void do_nothing(CheckpointSaver *s)
{
    s->started = timer_seconds();
    remember(s, PAL_OK);
}

static void start_on_root(CheckpointSaver *s, void *(*work)(void *))
{
    if (group_is_root(s->plan.group))
        start(s, work);
    else
        do_nothing(s);
}

/* All ranks' work of this step is done: the next one, or the end. */
static void advance(CheckpointSaver *s)
{
    if (s->has_thread) pthread_join(s->thread, NULL);
    s->has_thread = false;
    group_max_double(s->plan.group, &s->worked, 1);
    s->outcome.worked += s->worked;
    if (s->status != PAL_OK) status_set_message(s->message);
    Status status = s->step == STEP_LAYING_OUT ? checkpoint_share(&s->writing, s->status)
                                               : group_agree(s->plan.group, s->status);
    if (status != PAL_OK || s->step == STEP_PUBLISHING) {
        enter_end(s, status);
    } else if (s->step == STEP_LAYING_OUT) {
        s->step = STEP_FILLING;
        start(s, fill);
    } else {
        s->step = STEP_PUBLISHING;
        start_on_root(s, publish);
    }
}

static bool under_way(const CheckpointSaver *s)
{
    return s->step != STEP_NONE && s->step != STEP_ENDED;
}

static bool all_done(CheckpointSaver *s)
{
    double waiting = !atomic_load(&s->done);
    group_max_double(s->plan.group, &waiting, 1);
    return waiting == 0.0;
}

static void copy_to_staging(CheckpointSaver *s)
{
    for (int t = 0; t < s->plan.num_tensors; t++)
        if (s->staged_at[t + 1] > s->staged_at[t])
            s->source.copy(s->source.context, t, s->staging + s->staged_at[t]);
}

/* Collective over the group. The root makes the folder if it is not there. */
static Status choose_path(CheckpointSaver *s, int64_t update)
{
    char folder[PAL_PATH_SIZE];
    Status status = checkpoint_name(s->run, update, s->outcome.path);
    if (status == PAL_OK && group_is_root(s->plan.group)) {
        publish_folder(s->outcome.path, folder, sizeof folder);
        status = make_folders(folder);
    }
    return group_agree(s->plan.group, status);
}

void saver_begin(CheckpointSaver *s, const CheckpointState *state)
{
    PAL_ASSERT(s->step == STEP_NONE);
    s->began = timer_seconds();
    s->state = *state;
    s->outcome.update = state->update;
    Status status = choose_path(s, state->update);
    if (status == PAL_OK) status = checkpoint_writing_begin(&s->writing, &s->plan, s->outcome.path);
    if (status != PAL_OK) {
        enter_end(s, status);
    } else {
        if (s->async) copy_to_staging(s);
        s->outcome.worked = timer_seconds() - s->began;
        group_max_double(s->plan.group, &s->outcome.worked, 1);
        s->step = STEP_LAYING_OUT;
        start_on_root(s, lay_out);
    }
    while (!s->async && under_way(s)) advance(s);
    s->outcome.stalled = timer_seconds() - s->began;
}

static bool fetch(CheckpointSaver *s, CheckpointOutcome *outcome)
{
    if (s->step != STEP_ENDED) return false;
    *outcome = s->outcome;
    s->step = STEP_NONE;
    return true;
}

bool saver_poll(CheckpointSaver *s, CheckpointOutcome *outcome)
{
    if (under_way(s)) {
        double start_of_poll = timer_seconds();
        if (all_done(s)) advance(s);
        s->outcome.stalled += timer_seconds() - start_of_poll;
    }
    return fetch(s, outcome);
}

/* For the others, or for this rank's own thread: who asks why it takes so long wants to know. */
static void rest(const CheckpointSaver *s)
{
    const struct timespec pause = {0, 1000000};
    bool for_others = atomic_load(&s->done);
    if (for_others) whereabouts_meet("the end of a save", s->plan.group->name);
    nanosleep(&pause, NULL);
    if (for_others) whereabouts_met();
}

bool saver_wait(CheckpointSaver *s, CheckpointOutcome *outcome)
{
    double start_of_wait = timer_seconds();
    while (under_way(s)) {
        if (all_done(s))
            advance(s);
        else
            rest(s);
    }
    s->outcome.stalled += timer_seconds() - start_of_wait;
    return fetch(s, outcome);
}
