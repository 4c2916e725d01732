/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/evaluation.h"

#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/progress.h"
#include "src/base/stop.h"
#include "src/base/whereabouts.h"
#include "src/run/placing.h"

/* Rows beyond total / longest would only wait for the row that reads the longest document. */
static int useful_rows(const DataSplit *split, int64_t most)
{
    int64_t longest = 1;
    for (int64_t d = 0; d < split->documents; d++) {
        int64_t tokens = split->offsets[d + 1] - split->offsets[d];
        if (tokens > longest) longest = tokens;
    }
    int64_t useful = (split->tokens + longest - 1) / longest;
    return useful < 1 ? 1 : checked_int(useful < most ? useful : most);
}

typedef struct Length {
    int64_t tokens, document;
} Length;

static int longest_first(const void *left, const void *right)
{
    const Length *a = left, *b = right;
    if (a->tokens != b->tokens) return a->tokens > b->tokens ? -1 : 1;
    return a->document < b->document ? -1 : 1;
}

/* Longest documents first, so that rows finish together; in order where memory goes on. */
static Status create_order(const DataSplit *split, int rows, int window, bool in_order,
                           BatchOrder **order)
{
    size_t documents = checked_size(split->documents);
    Length *lengths = malloc((documents + 1) * sizeof *lengths);
    int64_t *list = malloc((documents + 1) * sizeof *list);
    Status status = PAL_OK;
    if (lengths != NULL && list != NULL) {
        for (int64_t d = 0; d < split->documents; d++)
            lengths[d] = (Length){split->offsets[d + 1] - split->offsets[d], d};
        if (!in_order) qsort(lengths, documents, sizeof *lengths, longest_first);
        for (int64_t d = 0; d < split->documents; d++) list[d] = lengths[d].document;
        status = batch_order_create_once(order, rows, window, split->documents, split->offsets,
                                         list, split->documents);
    } else {
        status =
            PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "no memory for a list of %zu documents", documents);
    }
    free(lengths);
    free(list);
    return status;
}

/* Opens the file, and finds how many rows read it side by side. */
static Status open_data(Evaluation *e, Split split, int rows)
{
    const Group *data = &e->session->grid->data;
    bool in_order = e->session->config.data.reset_memory == RESET_NEVER;
    e->split = split;
    PAL_TRY(dataset_open(&e->dataset, e->path, rows));
    e->all_rows =
        in_order ? 1 : useful_rows(&e->dataset->splits[split], (int64_t)rows * data->size);
    return PAL_OK;
}

static Status order_documents(Evaluation *e, BatchOrder **order)
{
    const Config *config = &e->session->config;
    bool in_order = config->data.reset_memory == RESET_NEVER;
    return create_order(evaluation_split(e), e->all_rows, config->model.window, in_order, order);
}

static Status take_feed(Evaluation *e, Arena *arena)
{
    const Group *data = &e->session->grid->data;
    BatchOrder *order = NULL;
    PAL_TRY(order_documents(e, &order));
    feed_create(&e->feed, arena, e->dataset, e->split, order,
                partition_range(e->all_rows, data->size, data->rank),
                checked_int(partition_range(e->all_rows, data->size, 0).count));
    return PAL_OK;
}

Status evaluation_open(Evaluation *e, Session *session, const char *path, Split split, int rows)
{
    *e = (Evaluation){.session = session, .path = path};
    Status opened = open_data(e, split, rows);
    return dataset_agree(e->dataset, opened, &session->grid->world);
}

Status evaluation_build(Evaluation *e, Arena *arena, const Parameters *parameters)
{
    Session *session = e->session;
    const Config *config = &session->config;
    const Grid *grid = session->grid;
    batch_order_destroy(&e->feed.order);
    PAL_TRY(group_agree(&grid->world, take_feed(e, arena)));
    collector_create(&e->collector, arena, evaluation_split(e),
                     (int64_t)e->feed.slots * config->model.window);
    Placement place = placing_make(grid, config, e->feed.slots, 1, 0);
    Status status =
        model_create(&e->model, session->device, arena, &config->model, &place, &grid->tensor,
                     parameters, false, config->data.reset_memory == RESET_NEVER);
    if (status == PAL_OK) pipeline_create(&e->pipeline, &grid->pipeline, &e->model, arena, 0);
    return group_agree(&grid->world, status);
}

Status evaluation_measure(Evaluation *e, Arena *arena, Measures *measures)
{
    PAL_TRY(measures_create(measures, e->session->grid, arena, &e->model, e->dataset, 1));
    e->measures = measures;
    e->collector.frequency = measures->has_frequency ? &measures->frequency : NULL;
    return PAL_OK;
}

void evaluation_start(Evaluation *e) { model_start(&e->model); }

void evaluation_destroy(Evaluation *e)
{
    collector_forget(&e->collector);
    batch_order_destroy(&e->feed.order);
    dataset_close(&e->dataset);
}

const DataSplit *evaluation_split(const Evaluation *e) { return &e->dataset->splits[e->split]; }

/* Of ranks that know the same losses one keeps them. */
static bool keeps_losses(const Evaluation *e)
{
    return e->model.place.has_output && e->model.place.tensor_part == 0;
}

/* Adds the last window's nats to their documents. */
static void collect(Evaluation *e, const Window *window)
{
    Device *device = e->session->device;
    if (!keeps_losses(e)) return;
    device->op->download(device, e->collector.window_nats, e->model.flights[0].nats);
    collector_add(&e->collector, window, e->feed.row_windows);
}

/* One window of this replica's rows, if there are any. */
static Status read_window(Evaluation *e)
{
    Window window = {0};
    Status status = feed_next(&e->feed, &window);
    if (e->feed.rows.count == 0) return status;
    pipeline_forward(&e->pipeline, &window);
    if (status == PAL_OK) collect(e, &window);
    if (e->measures != NULL) measures_after(e->measures);
    return status == PAL_OK ? e->collector.status : status;
}

/* Collective over all ranks, which all pass equally many windows. All go on until all know, a
 * window later, that one cannot or that they are asked to stop. */
static Status read_all(Evaluation *e, const char *label)
{
    const Group *world = &e->session->grid->world;
    int64_t done = 0, all = evaluation_split(e)->tokens;
    int verdict = STOP_NONE;
    Vote vote = {0};
    Status status = PAL_OK;
    Progress progress = progress_begin(label, all, "tokens");
    while (!batch_order_done(e->feed.order) && verdict == STOP_NONE) {
        Status window_status = read_window(e);
        if (status == PAL_OK) status = window_status;
        done += feed_global_tokens(&e->feed);
        progress_show(&progress, done);
        whereabouts_progress();
        verdict = group_vote(world, &vote, status != PAL_OK ? STOP_COUNT : (int)stop_requested());
    }
    pipeline_finish(&e->pipeline);
    bool broken_off = !batch_order_done(e->feed.order);
    group_vote_end(world, &vote);
    PAL_TRY(group_agree(world, status));
    if (broken_off)
        PAL_FAIL(PAL_STOPPED_EARLY, "%s: stopped after %lld of %lld tokens: %s", label,
                 (long long)done, (long long)all, stop_text((StopReason)verdict));
    return PAL_OK;
}

/* Every run begins at the beginning, with empty memories and nothing added up. */
static Status begin(Evaluation *e, bool losses)
{
    batch_order_destroy(&e->feed.order);
    PAL_TRY(order_documents(e, &e->feed.order));
    PAL_TRY(collector_begin(&e->collector, losses));
    if (e->measures != NULL) measures_begin(e->measures);
    model_weights_changed(&e->model);
    model_empty_memory(&e->model);
    return PAL_OK;
}

Status evaluation_run(Evaluation *e, const char *losses, const char *label,
                      EvaluationResult *result)
{
    const Group *world = &e->session->grid->world;
    *result = (EvaluationResult){0};
    PAL_TRY(evaluation_check_split(e->dataset, e->split, e->path));

    double start = timer_seconds();
    Status status = group_agree(world, begin(e, losses != NULL));
    if (status == PAL_OK) status = read_all(e, label);
    if (status == PAL_OK) status = collector_end(&e->collector, world, losses);
    if (status == PAL_OK && e->measures != NULL) measures_end(e->measures);
    collector_forget(&e->collector);
    if (status == PAL_OK) *result = evaluation_result(e->dataset, e->split, e->collector.nats);
    result->seconds = timer_seconds() - start;
    return status;
}
