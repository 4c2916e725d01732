/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/dynamic_evaluation.h"

#include <stdio.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/progress.h"
#include "src/run/skipping.h"
#include "src/run/stopping.h"

static const double SHARE_OF_PEAK = 0.1; /* of the learning rate that trained the model */

Status dynamic_sets(const DynamicProtocol *protocol, TextList *sets, char room[2][64])
{
    if (sets->count > PAL_MAX_LISTED - 2)
        PAL_FAIL(PAL_ERROR_USAGE, "more than %d times --set", PAL_MAX_LISTED - 2);
    snprintf(room[0], sizeof room[0], "batch.rows=%d", protocol->rows);
    snprintf(room[1], sizeof room[1], "train.update_every=%d", protocol->windows);
    for (int i = 0; i < 2; i++) sets->texts[sets->count++] = room[i];
    return PAL_OK;
}

/* The same on every rank. */
static Status set_protocol(DynamicEvaluation *d, const char *path, const DynamicProtocol *protocol)
{
    Config *config = &d->trained->session.config;
    TrainConfig *train = &config->train;
    d->protocol = *protocol;
    if (protocol->rate == 0.0) d->protocol.rate = SHARE_OF_PEAK * train->lr_peak;
    if (config->data.reset_memory == RESET_NEVER && protocol->rows > 1)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "--dynamic-rows %d: data.reset_memory = never, where the text is one stream that "
                 "one row reads; leave it 1",
                 protocol->rows);
    if (strlen(path) >= sizeof config->data.path)
        PAL_FAIL(PAL_ERROR_USAGE, "%.60s...: the name is too long", path);
    memmove(config->data.path, path, strlen(path) + 1);
    train->lr_start = train->lr_peak = train->lr_end = d->protocol.rate;
    train->warmup = 0;
    train->update_every_after = 0;
    train->spike_z = 0.0;
    config->model.dropout = config->model.attention_dropout = 0.0;
    return PAL_OK;
}

/* Before the update: the losses are those of the weights that have not seen the window. */
static void collect(void *context, const Flight *flight)
{
    DynamicEvaluation *d = context;
    Device *device = d->training.session->device;
    device->op->download(device, d->collector.window_nats, flight->nats);
    collector_add(&d->collector, &flight->window, d->training.feed.row_windows);
}

static Status create_measures(DynamicEvaluation *d)
{
    Training *t = &d->training;
    const Session *session = t->session;
    PAL_TRY(measures_create(&d->measures, session->grid, session->arena, &t->model, t->feed.dataset,
                            t->place.row_groups * d->protocol.windows));
    d->has_measures = true;
    d->collector.frequency = d->measures.has_frequency ? &d->measures.frequency : NULL;
    return PAL_OK;
}

Status dynamic_create(DynamicEvaluation *d, Trained *trained, const char *path, Split split,
                      const DynamicProtocol *protocol, bool measures)
{
    Session *session = &trained->session;
    Training *t = &d->training;
    *d = (DynamicEvaluation){.trained = trained};
    PAL_TRY(set_protocol(d, path, protocol));
    PAL_TRY(training_create(t, session, TEXT_ONCE, split));
    PAL_TRY(dataset_agree(t->feed.dataset, PAL_OK, &session->grid->world));
    PAL_TRY(trained_check_vocabulary(trained, t->feed.dataset, path));
    PAL_TRY(evaluation_check_split(t->feed.dataset, split, path));
    collector_create(&d->collector, session->arena, &t->feed.dataset->splits[split],
                     (int64_t)t->place.rows * session->config.model.window);
    d->collector.quantity = "dynamic_nats";
    if (measures) PAL_TRY(create_measures(d));
    PAL_TRY(session_seal(session));
    PAL_TRY(trained_load(trained, &t->parameters));
    training_start(t);
    t->flight_hook = (FlightHook){collect, d};
    return PAL_OK;
}

static Status read_all(DynamicEvaluation *d)
{
    Training *t = &d->training;
    int64_t all = t->feed.dataset->splits[t->feed.split].tokens;
    Progress progress = progress_begin("dynamic evaluation", all, "tokens");
    while (!batch_order_done(t->feed.order)) {
        UpdateReport report;
        PAL_TRY(training_update(t, &report));
        if (d->has_measures) measures_after(&d->measures);
        if (report.verdict != STEP_GOOD) skipping_tell(t, &report);
        if (bad_steps_too_many(&t->bad_steps))
            PAL_FAIL(
                PAL_ERROR_INTERNAL,
                "dynamic evaluation: %d updates in a row had numbers that are not finite; give "
                "a smaller rate than %g (--dynamic-rate)",
                t->bad_steps.max_skips, d->protocol.rate);
        d->protocol.skipped += report.verdict != STEP_GOOD;
        d->protocol.updates += report.verdict == STEP_GOOD;
        progress_show(&progress, t->tokens);
        if (report.stop && !batch_order_done(t->feed.order))
            PAL_FAIL(PAL_STOPPED_EARLY, "dynamic evaluation: stopped after %lld of %lld tokens: %s",
                     (long long)t->tokens, (long long)all,
                     stop_text(stopping_agree(&t->session->grid->world)));
    }
    return PAL_OK;
}

Status dynamic_run(DynamicEvaluation *d, const char *losses, EvaluationResult *result)
{
    Training *t = &d->training;
    const Group *world = &t->session->grid->world;
    double start = timer_seconds();
    Status status = group_agree(world, collector_begin(&d->collector, losses != NULL));
    if (status == PAL_OK && d->has_measures) measures_begin(&d->measures);
    if (status == PAL_OK) status = read_all(d);
    if (status == PAL_OK) status = collector_end(&d->collector, world, losses);
    if (status == PAL_OK && d->has_measures) measures_end(&d->measures);
    collector_forget(&d->collector);
    *result = (EvaluationResult){0};
    if (status == PAL_OK)
        *result = evaluation_result(t->feed.dataset, t->feed.split, d->collector.nats);
    result->is_dynamic = true;
    result->dynamic = d->protocol;
    result->seconds = timer_seconds() - start;
    return status;
}

void dynamic_destroy(DynamicEvaluation *d) { training_destroy(&d->training); }
