/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/rewinding.h"

#include <stdio.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/whereabouts.h"
#include "src/run/resume.h"
#include "src/run/skipping.h"

static Status refuse(const Training *t, const UpdateReport *report)
{
    char why[160];
    snprintf(why, sizeof why,
             ", and going back to a checkpoint %d times has not brought it past update %lld",
             MOST_REWINDS, (long long)t->bad_steps.history.furthest);
    return skipping_diverged(report, why);
}

/* An evaluation of the update that the run is back at, or of a later one, has been: what is logged
 * of later ones goes, and they come again. */
static int64_t evaluated_at(const Training *t, const CheckpointState *state)
{
    return t->evaluated >= state->update ? state->update : state->evaluated;
}

static Status load(Training *t, const Resume *resume)
{
    const CheckpointState *state = &resume->checkpoint->state;
    const SnapshotParts parts = training_parts(t);
    PAL_TRY(snapshot_load_steps(resume->checkpoint, &parts));
    model_weights_changed(&t->model);
    model_empty_memory(&t->model);
    bad_steps_rewind(&t->bad_steps, &state->history, t->update);
    t->evaluated = evaluated_at(t, state);
    t->update = state->update;
    t->tokens = state->tokens;
    return PAL_OK;
}

/* Every update once, as after a restart, and then why there was a second try. Before the checkpoint
 * that knows of it: a start from the one before comes here again, one from that has the line. */
static Status record(Metrics *metrics, const Training *t, const UpdateReport *report)
{
    const MetricsPlace place = {t->update, t->evaluated, t->bad_steps.history.rewinds};
    PAL_TRY(metrics_keep(metrics, place));
    metrics_begin(metrics, "rewind");
    metrics_integer(metrics, "update", t->update);
    metrics_integer(metrics, "from", report->update);
    metrics_text(metrics, "reason", bad_steps_name(report->verdict));
    metrics_integer(metrics, "skipped", t->bad_steps.max_skips);
    metrics_integer(metrics, "rewinds", t->bad_steps.history.rewinds);
    return metrics_end(metrics);
}

Status rewinding_go_back(Training *t, Saving *saving, const char *folder, Metrics *metrics,
                         const UpdateReport *report)
{
    const Group *world = &t->session->grid->world;
    Resume resume;
    whereabouts_enter(SECTION_SAVE);
    saving_wait(saving);
    if (!bad_steps_may_rewind(&t->bad_steps)) return refuse(t, report);
    whereabouts_enter(SECTION_START); /* which also reads a checkpoint */
    PAL_TRY(resume_find_earlier(&resume, world, folder, report->update));
    if (resume.checkpoint == NULL)
        return skipping_diverged(report, ", and there is no checkpoint to go back to");
    Status status = load(t, &resume);
    resume_close(&resume);
    PAL_TRY(status);
    log_warn("update %lld: %lld updates in a row were skipped, the last since %s; going back to "
             "%s: weights, moments and counters are those of update %lld, data go on from where "
             "they are, memories begin empty",
             (long long)report->update, (long long)report->skips, bad_steps_text(report->verdict),
             resume.path, (long long)t->update);
    whereabouts_enter(SECTION_SAVE);
    if (group_is_root(world)) {
        checkpoint_rewind(folder, t->update);
        status = record(metrics, t, report);
    }
    PAL_TRY(group_agree(world, status));
    saving_replace(saving);
    return PAL_OK;
}
