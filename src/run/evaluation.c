/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/evaluation.h"

#include <math.h>
#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/progress.h"
#include "src/base/statistics.h"
#include "src/base/stop.h"
#include "src/base/whereabouts.h"
#include "src/run/losses_file.h"
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

static Status open_feed(Evaluation *e, Arena *arena, Split split, int rows)
{
    const Group *data = &e->session->grid->data;
    const Config *config = &e->session->config;
    bool in_order = config->data.reset_memory == RESET_NEVER;
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    PAL_TRY(dataset_open(&dataset, e->path, rows));
    const DataSplit *documents = &dataset->splits[split];
    int all_rows = in_order ? 1 : useful_rows(documents, (int64_t)rows * data->size);

    Status status = create_order(documents, all_rows, config->model.window, in_order, &order);
    if (status == PAL_OK)
        feed_create(&e->feed, arena, dataset, split, order,
                    partition_range(all_rows, data->size, data->rank),
                    checked_int(partition_range(all_rows, data->size, 0).count));
    else
        dataset_close(&dataset);
    return status;
}

Status evaluation_create(Evaluation *e, Session *session, Arena *arena,
                         const Parameters *parameters, const char *path, Split split, int rows)
{
    const Config *config = &session->config;
    *e = (Evaluation){.session = session, .path = path};
    Status opened = open_feed(e, arena, split, rows);
    PAL_TRY(dataset_agree(e->feed.dataset, opened, &session->grid->world));

    size_t positions = checked_size((int64_t)e->feed.slots * config->model.window);
    size_t documents = checked_size(evaluation_split(e)->documents);
    e->window_nats = arena_host(arena, PURPOSE_DATA, (positions + 1) * sizeof *e->window_nats);
    e->document_nats = arena_host(arena, PURPOSE_DATA, (documents + 1) * sizeof(double));
    const Grid *grid = session->grid;
    Placement place = placing_make(grid, config, e->feed.slots, 1, 0);
    Status status =
        model_create(&e->model, session->device, arena, &config->model, &place, &grid->tensor,
                     parameters, false, config->data.reset_memory == RESET_NEVER);
    if (status == PAL_OK) pipeline_create(&e->pipeline, &grid->pipeline, &e->model, arena, 0);
    return group_agree(&grid->world, status);
}

void evaluation_start(Evaluation *e) { model_start(&e->model); }

void evaluation_destroy(Evaluation *e) { feed_destroy(&e->feed); }

const DataSplit *evaluation_split(const Evaluation *e)
{
    return &e->feed.dataset->splits[e->feed.split];
}

/* Of ranks that know the same losses one keeps them. */
static bool keeps_losses(const Evaluation *e)
{
    return e->model.place.has_output && e->model.place.tensor_part == 0;
}

/* Adds the last window's nats to their documents. */
static void collect(Evaluation *e, const Window *window)
{
    int64_t length = window->length;
    Tensor nats = e->model.flights[0].nats;
    if (!keeps_losses(e)) return;
    e->session->device->op->download(e->session->device, e->window_nats, nats);
    for (int b = 0; b < e->feed.rows.count; b++) {
        const RowWindow *row = &e->feed.row_windows[e->feed.rows.first + b];
        for (int t = 0; t < window->counted[b]; t++) {
            Real value = e->window_nats[b * length + t];
            e->document_nats[row->document] += (double)value;
            if (e->token_nats != NULL) e->token_nats[row->document][row->offset + t] = (float)value;
        }
    }
}

/* Which documents this rank reads is only known while reading: buffers come with the first
 * window. */
static Status take_token_buffers(Evaluation *e)
{
    const DataSplit *split = evaluation_split(e);
    if (e->token_nats == NULL || !keeps_losses(e)) return PAL_OK;
    for (int64_t b = 0; b < e->feed.rows.count; b++) {
        const RowWindow *row = &e->feed.row_windows[e->feed.rows.first + b];
        if (row->count == 0 || e->token_nats[row->document] != NULL) continue;
        int64_t tokens = split->offsets[row->document + 1] - split->offsets[row->document];
        e->token_nats[row->document] = malloc(checked_size(tokens) * sizeof(float));
        if (e->token_nats[row->document] == NULL)
            PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the losses of '%s' (%lld tokens)",
                     split->names[row->document], (long long)tokens);
    }
    return PAL_OK;
}

/* One window of this replica's rows, if there are any. */
static Status read_window(Evaluation *e)
{
    Window window = {0};
    Status status = feed_next(&e->feed, &window);
    if (status == PAL_OK) status = take_token_buffers(e);
    if (e->feed.rows.count == 0) return status;
    pipeline_forward(&e->pipeline, &window);
    if (status == PAL_OK) collect(e, &window);
    return status;
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
    const DataSplit *split = evaluation_split(e);
    int rows = e->feed.order->rows;
    batch_order_destroy(&e->feed.order);
    PAL_TRY(
        create_order(split, rows, e->model.options.window, e->model.keep_memory, &e->feed.order));
    if (losses) e->token_nats = calloc(checked_size(split->documents), sizeof(float *));
    if (losses && e->token_nats == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the losses of %lld documents",
                 (long long)split->documents);

    for (int64_t d = 0; d < split->documents; d++) e->document_nats[d] = 0.0;
    model_weights_changed(&e->model);
    model_empty_memory(&e->model);
    return PAL_OK;
}

/* Sums over ranks; documents in their own order, so that the total does not depend on the grid. */
static void total(Evaluation *e, EvaluationResult *result)
{
    const DataSplit *split = evaluation_split(e);
    group_sum_double(&e->session->grid->world, e->document_nats, checked_int(split->documents));
    for (int64_t d = 0; d < split->documents; d++) {
        e->document_nats[d] = statistics_printable(e->document_nats[d]);
        result->nats += e->document_nats[d];
    }
    result->tokens = split->tokens;
    result->bytes = split->total_bytes;
    result->words = split->total_words;
    result->document_nats = e->document_nats;
}

static void free_token_buffers(Evaluation *e)
{
    if (e->token_nats == NULL) return;
    for (int64_t d = 0; d < evaluation_split(e)->documents; d++) free(e->token_nats[d]);
    free(e->token_nats);
    e->token_nats = NULL;
}

Status evaluation_run(Evaluation *e, const char *losses, const char *label,
                      EvaluationResult *result)
{
    const Group *world = &e->session->grid->world;
    const DataSplit *split = evaluation_split(e);
    *result = (EvaluationResult){0};
    if (split->documents == 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: the %s split has no documents", e->path,
                 split_name(e->feed.split));

    double start = timer_seconds();
    Status status = group_agree(world, begin(e, losses != NULL));
    if (status == PAL_OK) status = read_all(e, label);
    if (status == PAL_OK) total(e, result);
    if (status == PAL_OK && losses != NULL)
        status = losses_file_write(losses, world, split, e->token_nats);
    free_token_buffers(e);
    result->seconds = timer_seconds() - start;
    return status;
}

double evaluation_bits_per_byte(const EvaluationResult *result)
{
    return result->nats / log(2.0) / (double)result->bytes;
}

double evaluation_word_perplexity(const EvaluationResult *result)
{
    return exp(result->nats / (double)result->words);
}

void evaluation_report(Metrics *metrics, const Evaluation *e, const EvaluationResult *result)
{
    metrics_text(metrics, "split", split_name(e->feed.split));
    metrics_number(metrics, "loss", result->nats / (double)result->tokens);
    metrics_number(metrics, "nats", result->nats);
    metrics_integer(metrics, "tokens", result->tokens);
    metrics_integer(metrics, "bytes", result->bytes);
    metrics_integer(metrics, "words", result->words);
    metrics_text(metrics, "words_counted", "white space");
    metrics_number(metrics, "bits_per_byte", evaluation_bits_per_byte(result));
    metrics_number(metrics, "word_perplexity", evaluation_word_perplexity(result));
    metrics_number(metrics, "seconds", result->seconds);
    metrics_number(metrics, "tokens_per_second", (double)result->tokens / result->seconds);
}
