/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/saving.h"

#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/machine.h"

static void copy_tensor(void *context, int tensor, void *to)
{
    const Saving *saving = context;
    snapshot_copy(&saving->snapshot, tensor, to);
}

Status saving_check_folder(const CheckpointConfig *options, const char *folder)
{
    if (options->transfer == TRANSFER_DIRECT || strchr(folder, ':') == NULL) return PAL_OK;
    PAL_FAIL(PAL_ERROR_CONFIG,
             "checkpoints cannot be written into %s through MPI-IO, which may take what stands "
             "before ':' for the kind of a file system; choose a folder without ':', or "
             "checkpoint.transfer = direct",
             folder);
}

Status saving_create(Saving *s, Training *t, const char *folder, const CheckpointState *resumed)
{
    const Config *config = &t->session->config;
    const CheckpointConfig *options = &config->checkpoint;
    const Grid *grid = t->session->grid;
    *s = (Saving){.training = t, .saved = -1, .scheduled = -1};
    if (resumed != NULL) {
        s->saved = resumed->update;
        s->saved_evaluated = resumed->evaluated;
        s->scheduled = resumed->scheduled;
    }
    PAL_TRY(group_agree(&grid->world, config_text(config, &s->configuration)));

    const SnapshotParts parts = training_parts(t);
    snapshot_create(&s->snapshot, &parts,
                    options->memory_type == NUMBER_BFLOAT16 ? STORED_BFLOAT16 : STORED_FLOAT32);
    saver_create(&s->saver, &grid->world, t->session->arena, folder, options->keep,
                 options->transfer, options->async, s->snapshot.tensors, s->snapshot.count,
                 (CheckpointSource){s, copy_tensor});
    return PAL_OK;
}

void saving_start(Saving *s)
{
    saver_warm_up(s->saver);
    const CheckpointConfig *options = &s->training->session->config.checkpoint;
    double size = saver_bytes(s->saver) / MEBIBYTE;
    if (saver_is_async(s->saver))
        log_info("checkpoints: %.1f MiB each, written in the background from %.1f MiB of staging "
                 "memory on each rank, at most",
                 size, saver_staging_bytes(s->saver) / MEBIBYTE);
    else
        log_info("checkpoints: %.1f MiB each, training waits while they are written%s", size,
                 options->async ? " (checkpoint.async needs checkpoint.transfer = direct)" : "");
}

double saving_bytes(const Saving *s) { return saver_bytes(s->saver); }
double saving_longest(const Saving *s) { return s->longest; }

static const char *const goes_on =
    "; earlier ones are as they were, and the run goes on to its next checkpoint";

/* next: what becomes of a run whose save has failed; NULL: it fails with the save's message. */
static void report(Saving *s, const CheckpointOutcome *outcome, const char *next)
{
    s->last = outcome->status;
    if (outcome->status != PAL_OK) {
        if (next == NULL)
            status_set_message(outcome->message);
        else
            log_warn("no checkpoint of update %lld: %s%s", (long long)outcome->update,
                     outcome->message, next);
        return;
    }
    s->saved = outcome->update;
    s->saved_evaluated = s->begun_evaluated;
    if (outcome->worked > s->longest) s->longest = outcome->worked;
    s->scheduled = s->begun_scheduled;
    char component[64];
    shared_file_component(s->training->session->config.checkpoint.transfer, component);
    log_info("saved %s: %.1f MiB in %.2f s, of which training waited %.2f s%s%s", outcome->path,
             outcome->bytes / MEBIBYTE, outcome->seconds, outcome->stalled,
             component[0] != '\0' ? ", MPI-IO by " : "", component);
}

static void wait(Saving *s, const char *next)
{
    CheckpointOutcome outcome;
    if (saver_wait(s->saver, &outcome)) report(s, &outcome, next);
}

/* Of the text; random tokens are bytes. */
static TokenizerModel tokenizer_of(const Training *t)
{
    if (t->feed.dataset != NULL) return t->feed.dataset->tokenizer;
    return (TokenizerModel){.kind = "bytes", .vocabulary = 257, .document_token = 256};
}

CheckpointState saving_state(const Saving *s)
{
    const Training *t = s->training;
    return (CheckpointState){
        .update = t->update,
        .windows = t->windows,
        .tokens = t->tokens,
        .evaluated = t->evaluated,
        .next = t->feed.order != NULL ? t->feed.order->next : 0,
        .scheduled = s->begun_scheduled,
        .data = t->data_checksum,
        .rows = t->session->config.batch.rows,
        .history = t->bad_steps.history,
        .configuration = s->configuration,
        .tokenizer = tokenizer_of(t),
    };
}

static void begin(Saving *s, bool scheduled, const char *next)
{
    wait(s, goes_on);
    s->begun_scheduled = scheduled ? s->training->update : s->scheduled;
    const CheckpointState state = saving_state(s);
    s->begun_evaluated = state.evaluated;
    saver_begin(s->saver, &state);
    if (!saver_is_async(s->saver)) wait(s, next);
}

void saving_begin(Saving *s) { begin(s, true, goes_on); }

void saving_poll(Saving *s)
{
    CheckpointOutcome outcome;
    if (saver_poll(s->saver, &outcome)) report(s, &outcome, goes_on);
}

Status saving_now(Saving *s, bool due)
{
    wait(s, goes_on);
    const Training *t = s->training;
    bool same = s->saved == t->update;
    if (same && s->saved_evaluated == t->evaluated) return PAL_OK;
    begin(s, due || (same && s->scheduled == s->saved), NULL);
    wait(s, NULL);
    return s->last;
}

void saving_wait(Saving *s) { wait(s, goes_on); }

void saving_replace(Saving *s)
{
    s->saved = -1;
    begin(s, true, goes_on);
    wait(s, goes_on);
}

void saving_destroy(Saving *s)
{
    if (s->saver != NULL) wait(s, "");
    saver_destroy(&s->saver);
    snapshot_destroy(&s->snapshot);
    free(s->configuration);
    *s = (Saving){0};
}
