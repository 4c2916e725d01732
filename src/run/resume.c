/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checkpoint_files.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/timer.h"
#include "src/run/snapshot.h"
#include "src/run/trained.h"

/* --- what may be another than when it was saved ----------------------------------------------- */

/* They say which weights and which rows there are. */
static const char *const fixed_keys[] = {
    "model.layers",           "model.width",          "model.heads",
    "model.feed_forward",     "model.norm",           "model.activation",
    "model.positions",        "model.tie_embeddings", "model.adaptive_cutoffs",
    "model.adaptive_divisor", "model.compression",    "model.compression_rate",
    "model.compression_loss", "model.dilations",      "batch.rows",
};

typedef struct Comparison {
    const char *path;
    Status status;
} Comparison;

static void look_at_difference(void *context, const char *key, const char *now, const char *then)
{
    Comparison *comparison = context;
    bool fixed = false;
    for (size_t i = 0; i < sizeof fixed_keys / sizeof *fixed_keys; i++)
        fixed |= strcmp(key, fixed_keys[i]) == 0;
    if (!fixed)
        log_info("resuming: %s = %s, when it was saved %s", key, now, then);
    else if (comparison->status == PAL_OK)
        comparison->status =
            PAL_FAILURE(PAL_ERROR_CONFIG,
                        "%s = %s, but %s was saved with %s; go on with that, or begin anew in "
                        "another folder with --run",
                        key, now, comparison->path, then);
}

static bool has_memory(const ModelOptions *model)
{
    for (int l = 0; l < model->layers; l++)
        if (model->memory[l] > 0 || model->compressed_memory[l] > 0) return true;
    return false;
}

/* Local. */
static Status check_configuration(const Resume *resume, const Session *session)
{
    Config stored;
    Comparison comparison = {resume->path, PAL_OK};
    PAL_TRY(
        config_parse_text(&stored, resume->checkpoint->state.configuration, resume->path, NULL, 0));
    config_compare(&session->config, &stored, look_at_difference, &comparison);
    PAL_TRY(comparison.status);
    bool rounded = stored.checkpoint.memory_type == NUMBER_BFLOAT16 &&
                   stored.train.type != NUMBER_BFLOAT16; /* else it had no more digits before */
    if (rounded && has_memory(&stored.model))
        log_info("resuming: %s has the memory as bfloat16, so the run goes on from rounded numbers",
                 resume->path);
    PAL_TRY(trained_has_weights(resume->path, &session->config.model, &stored.model));
    trained_tell_left_weights(resume->path, &session->config.model, &stored.model);
    return PAL_OK;
}

/* Local; the configurations agree. */
static Status check_rows(const Resume *resume, const Session *session)
{
    int found = resume->checkpoint->state.rows, expected = session->config.batch.rows;
    if (found == expected) return PAL_OK;
    if (found > 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s says where %d rows stand, expected batch.rows = %d",
                 resume->path, found, expected);
    PAL_FAIL(PAL_ERROR_DATA,
             "%s holds weights alone, which can be evaluated; a training goes on from a checkpoint "
             "that it has written itself: give one, or move this file out of the run's checkpoints",
             resume->path);
}

/* Local. */
static Status check_text(const Resume *resume, const Session *session, int64_t data_checksum)
{
    int64_t saved = resume->checkpoint->state.data;
    if (saved == data_checksum) return PAL_OK;
    PAL_FAIL(PAL_ERROR_DATA,
             "%s was saved while training on another text than %s (their checksums are %016llx and "
             "%016llx), where its rows stand nowhere; train on the text it was saved with",
             resume->path, session->config.data.path, (unsigned long long)saved,
             (unsigned long long)data_checksum);
}

/* --- finding it ------------------------------------------------------------------------------- */

static Status open_and_verify(Resume *resume, const Group *world)
{
    double start = timer_seconds();
    int64_t bytes;
    PAL_TRY(checkpoint_open(&resume->checkpoint, resume->path, world));
    Status status = checkpoint_verify(resume->checkpoint, "/", &bytes);
    if (status != PAL_OK) checkpoint_close(&resume->checkpoint);
    resume->seconds += timer_seconds() - start;
    return status;
}

/* Local. A file in the run whose name says another update than it has is no checkpoint of that
 * name: the run would take its own for a later one that it leaves. */
static Status check_name(const Resume *resume)
{
    long long update = resume->checkpoint->state.update;
    if (checkpoint_update_of(resume->path) == update) return PAL_OK;
    PAL_FAIL(PAL_ERROR_DATA,
             "%s: is the checkpoint of update %lld, which is not what its name says; call it "
             "step-%08lld.h5 if it is one of this run",
             resume->path, update, update);
}

/* Collective; rank 0 has the list. */
static Status open_candidate(Resume *resume, const CheckpointList *list, int number,
                             const Group *world)
{
    if (group_is_root(world)) snprintf(resume->path, PAL_PATH_SIZE, "%s", list->paths[number]);
    group_broadcast(world, resume->path, sizeof resume->path, 0);
    PAL_TRY(open_and_verify(resume, world));
    Status status = check_name(resume);
    if (status != PAL_OK) checkpoint_close(&resume->checkpoint);
    return status;
}

/* Collective. The first of the `count` candidates that is whole; those before it are damaged or
 * have a wrong name. A file that is there and cannot be opened, or is of another version of the
 * program, may be a good one, which is no reason to leave it. */
static Status open_newest(Resume *resume, int count, const Group *world)
{
    char newest[2048] = "";
    for (int i = 0; i < count; i++) {
        Status status = open_candidate(resume, &resume->own, i, world);
        resume->damaged = i;
        if (status != PAL_ERROR_DATA) return status;
        log_warn("%s", status_message());
        if (i == 0) snprintf(newest, sizeof newest, "%s", status_message());
        if (i + 1 < count && group_is_root(world))
            log_warn("trying %s instead", resume->own.paths[i + 1]);
    }
    PAL_FAIL(
        PAL_ERROR_DATA,
        "none of the %d checkpoints of this run can be used; the newest: %s; mend that, or begin "
        "anew in another folder with --run",
        count, newest);
}

/* Whether it is one of this run's own checkpoints, however it was spelled. */
static bool is_own(const Resume *resume, const char *folder)
{
    char own[PAL_PATH_SIZE];
    return checkpoint_name(folder, resume->checkpoint->state.update, own) == PAL_OK &&
           publish_same_file(resume->path, own);
}

/* Local, by the rank that has the list. */
static bool is_listed(const Resume *resume)
{
    for (int i = 0; i < resume->own.count; i++)
        if (publish_same_file(resume->path, resume->own.paths[i])) return true;
    return false;
}

/* Local, by the rank that has the list: the run would begin with something else. */
static Status check_unused(const Resume *resume, const char *folder, const char *wanted)
{
    if (resume->own.count == 0) return PAL_OK;
    if (strcmp(wanted, "none") == 0)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "%s holds a run already (%s) and --resume is none; go on with it (--resume auto), "
                 "give another folder with --run, or remove it",
                 folder, resume->own.paths[0]);
    PAL_FAIL(PAL_ERROR_USAGE,
             "%s holds a run already (%s), of which %s is no checkpoint; go on with that run "
             "(--resume auto), take what stands after .h5 from the name if it is a file that the "
             "run has left, or give another folder with --run",
             folder, resume->own.paths[0], wanted);
}

static Status find_file(Resume *resume, const char *wanted, const char *folder, const Group *world)
{
    PAL_TRY(checkpoint_find_for(world, wanted, resume->path));
    PAL_TRY(open_and_verify(resume, world));
    resume->same_folder = group_is_root(world) && is_own(resume, folder);
    group_broadcast(world, &resume->same_folder, sizeof resume->same_folder, 0);
    if (resume->same_folder) return PAL_OK;
    PAL_TRY(group_agree(world, is_listed(resume) ? check_name(resume) : PAL_OK));
    return group_agree(world, check_unused(resume, folder, wanted));
}

/* Local, the same on every rank. */
static Status check(const Resume *resume, const Session *session, int64_t data_checksum)
{
    PAL_TRY(check_configuration(resume, session));
    PAL_TRY(check_rows(resume, session));
    return check_text(resume, session, data_checksum);
}

/* Collective. */
static Status find(Resume *resume, const char *wanted, const char *folder, const Group *world)
{
    bool root = group_is_root(world), automatic = strcmp(wanted, "auto") == 0;
    PAL_TRY(group_agree(world, root ? checkpoint_list(folder, &resume->own) : PAL_OK));
    if (strcmp(wanted, "none") == 0)
        return group_agree(world, check_unused(resume, folder, wanted));
    if (!automatic) return find_file(resume, wanted, folder, world);

    int count = resume->own.count;
    group_broadcast(world, &count, sizeof count, 0);
    resume->same_folder = count > 0;
    if (count > 0) return open_newest(resume, count, world);
    return group_agree(world, root ? checkpoint_check_none_lost(folder) : PAL_OK);
}

Status resume_find(Resume *resume, const Session *session, int64_t data_checksum,
                   const char *wanted, const char *folder)
{
    *resume = (Resume){0};
    Status status = find(resume, wanted, folder, &session->grid->world);
    if (status == PAL_OK && resume->checkpoint != NULL)
        status = check(resume, session, data_checksum);
    if (status != PAL_OK) resume_close(resume);
    return status;
}

Status resume_check(const Resume *resume, const char *folder)
{
    CheckpointList now;
    Status status = checkpoint_list(folder, &now);
    if (status == PAL_OK && !checkpoint_same_list(&resume->own, &now))
        status = PAL_FAILURE(PAL_ERROR_BUSY,
                             "%s: another run has changed the checkpoints there in the last "
                             "seconds, when this one was about to begin; start it again",
                             folder);
    checkpoint_list_free(&now);
    return status;
}

void resume_take(const Resume *resume, const char *folder, int64_t update)
{
    if (!resume->same_folder) {
        checkpoint_forget_latest(folder);
        return;
    }
    for (int i = 0; i < resume->damaged; i++) checkpoint_set_aside(resume->own.paths[i]);
    checkpoint_go_on_from(folder, update);
}

/* --- going back to it ------------------------------------------------------------------------- */

/* Collective. The first of the candidates that is whole and will do. */
static Status open_earlier(Resume *resume, const CheckpointList *list, const Group *world,
                           int64_t last, bool scheduled)
{
    for (int i = 0; i < list->count; i++) {
        Status status = open_candidate(resume, list, i, world);
        if (status == PAL_ERROR_DATA || status == PAL_ERROR_VERSION) {
            log_warn("%s", status_message());
            continue;
        }
        PAL_TRY(status);
        const CheckpointState *state = &resume->checkpoint->state;
        if (state->update <= last && (state->scheduled == state->update || !scheduled))
            return PAL_OK;
        checkpoint_close(&resume->checkpoint);
    }
    return PAL_OK;
}

Status resume_find_earlier(Resume *resume, const Group *world, const char *folder, int64_t last)
{
    CheckpointList list = {0};
    *resume = (Resume){0};
    Status status =
        group_agree(world, group_is_root(world) ? checkpoint_list(folder, &list) : PAL_OK);
    group_broadcast(world, &list.count, sizeof list.count, 0);
    if (status == PAL_OK) status = open_earlier(resume, &list, world, last, true);
    if (status == PAL_OK && resume->checkpoint == NULL)
        status = open_earlier(resume, &list, world, last, false);
    checkpoint_list_free(&list);
    return status;
}

/* --- loading it ------------------------------------------------------------------------------- */

Status resume_load(Resume *resume, Training *t)
{
    double start = timer_seconds();
    const CheckpointState *state = &resume->checkpoint->state;
    const SnapshotParts parts = training_parts(t);
    PAL_TRY(snapshot_load(resume->checkpoint, &parts));
    model_weights_changed(&t->model);
    t->update = state->update;
    t->windows = state->windows;
    t->tokens = state->tokens;
    t->evaluated = state->evaluated;
    t->bad_steps.history = state->history;
    resume->seconds += timer_seconds() - start;
    log_info("resumed from %s: update %lld, %lld tokens; read and checked in %.2f s", resume->path,
             (long long)t->update, (long long)t->tokens, resume->seconds);
    checkpoint_close(&resume->checkpoint);
    return PAL_OK;
}

void resume_close(Resume *resume)
{
    checkpoint_close(&resume->checkpoint);
    checkpoint_list_free(&resume->own);
}
