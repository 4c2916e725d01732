/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/evaluation.h"

#include <math.h>
#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/run/losses_file.h"
#include "src/run/progress.h"

/* Rows beyond total / longest would only wait for the row that reads the longest document. */
static int useful_rows(const DataSplit *split, int most)
{
    int64_t longest = 1;
    for (int64_t d = 0; d < split->documents; d++) {
        int64_t tokens = split->offsets[d + 1] - split->offsets[d];
        if (tokens > longest) longest = tokens;
    }
    int64_t useful = (split->tokens + longest - 1) / longest;
    return useful < 1 ? 1 : useful < most ? (int)useful : most;
}

Status evaluation_create(Evaluation *e, Session *session, Arena *arena,
                         const Parameters *parameters, const char *path, Split split, int rows)
{
    const Config *config = &session->config;
    const Group *data = &session->grid->data;
    bool in_order = config->data.reset_memory == RESET_NEVER;
    *e = (Evaluation){.session = session, .split = split, .path = path, .arena = arena};
    Status status = group_agree(&session->grid->world, dataset_open(&e->dataset, path, 1));
    if (status != PAL_OK) return status;
    e->all_rows = in_order ? 1 : useful_rows(&e->dataset->splits[split], rows * data->size);
    e->rows = partition_range(e->all_rows, data->size, data->rank);

    status = model_create(&e->model, session->device, arena, &config->model, parameters,
                          checked_int(e->rows.count), false, in_order);
    return group_agree(&session->grid->world, status);
}

void evaluation_start(Evaluation *e) { model_start(&e->model); }

void evaluation_destroy(Evaluation *e) { dataset_close(&e->dataset); }

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
static Status create_order(const Evaluation *e, const Dataset *dataset, BatchOrder **order)
{
    const DataSplit *split = &dataset->splits[e->split];
    size_t documents = checked_size(split->documents);
    Length *lengths = malloc((documents + 1) * sizeof *lengths);
    int64_t *list = malloc((documents + 1) * sizeof *list);
    if (lengths == NULL || list == NULL) abort();

    for (int64_t d = 0; d < split->documents; d++)
        lengths[d] = (Length){split->offsets[d + 1] - split->offsets[d], d};
    if (!e->model.keep_memory) qsort(lengths, documents, sizeof *lengths, longest_first);
    for (size_t d = 0; d < documents; d++) list[d] = lengths[d].document;

    Status status =
        batch_order_create_once(order, e->all_rows, e->model.options.window, split->documents,
                                split->offsets, list, split->documents);
    free(lengths);
    free(list);
    return status;
}

static Status create_feed(const Evaluation *e, Feed *feed, Arena *arena)
{
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    int slots = e->rows.count > 0 ? checked_int(e->rows.count) : 1;
    Status status = dataset_open(&dataset, e->path, slots);
    if (status == PAL_OK) status = create_order(e, dataset, &order);
    if (status != PAL_OK) {
        dataset_close(&dataset);
        return status;
    }
    feed_create(feed, arena, dataset, e->split, order, e->rows);
    return arena_seal(arena);
}

/* Adds the last window's nats to their documents. */
static void collect(Evaluation *e, const Feed *feed, const Window *window, Real *nats,
                    EvaluationResult *result)
{
    int64_t length = window->length;
    e->session->device->op->download(e->session->device, nats, e->model.nats);
    for (int b = 0; b < window->rows; b++) {
        const RowWindow *row = &feed->row_windows[e->rows.first + b];
        for (int t = 0; t < window->counted[b]; t++) {
            Real value = nats[b * length + t];
            result->document_nats[row->document] += (double)value;
            if (e->token_nats != NULL) e->token_nats[row->document][row->offset + t] = (float)value;
        }
    }
}

/* Which documents this rank read is only known while reading: buffers come with the first
 * window. */
static Status take_token_buffers(Evaluation *e, const Feed *feed)
{
    const DataSplit *split = &e->dataset->splits[e->split];
    if (e->token_nats == NULL) return PAL_OK;
    for (int64_t b = 0; b < e->rows.count; b++) {
        const RowWindow *row = &feed->row_windows[e->rows.first + b];
        if (row->count == 0 || e->token_nats[row->document] != NULL) continue;
        int64_t tokens = split->offsets[row->document + 1] - split->offsets[row->document];
        e->token_nats[row->document] = malloc(checked_size(tokens) * sizeof(float));
        if (e->token_nats[row->document] == NULL)
            PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the losses of '%s' (%lld tokens)",
                     split->names[row->document], (long long)tokens);
    }
    return PAL_OK;
}

static Status read_all(Evaluation *e, Feed *feed, const char *label, EvaluationResult *result)
{
    const DataSplit *split = &e->dataset->splits[e->split];
    int64_t positions = e->rows.count * e->model.options.window, done = 0;
    Real *nats = malloc(checked_size(positions + 1) * sizeof *nats);
    if (nats == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the losses of a window");

    Status status = PAL_OK;
    Progress progress = progress_begin(label, split->tokens, "tokens");
    while (status == PAL_OK && !batch_order_done(feed->order)) {
        Window window = {0};
        status = feed_next(feed, &window);
        if (status == PAL_OK) status = take_token_buffers(e, feed);
        done += feed_global_tokens(feed);
        progress_show(&progress, done);
        if (status != PAL_OK || e->rows.count == 0) continue;
        model_forward(&e->model, &window);
        model_remember(&e->model, &window);
        collect(e, feed, &window, nats, result);
    }
    free(nats);
    return status;
}

/* Sums over ranks; documents in their own order, so that the total does not depend on the grid. */
static void total(Evaluation *e, EvaluationResult *result)
{
    const DataSplit *split = &e->dataset->splits[e->split];
    group_sum_double(&e->session->grid->data, result->document_nats, checked_int(split->documents));
    for (int64_t d = 0; d < split->documents; d++) result->nats += result->document_nats[d];
    result->tokens = split->tokens;
    result->bytes = split->total_bytes;
    result->words = split->total_words;
}

static void free_token_buffers(Evaluation *e)
{
    if (e->token_nats == NULL) return;
    for (int64_t d = 0; d < e->dataset->splits[e->split].documents; d++) free(e->token_nats[d]);
    free(e->token_nats);
    e->token_nats = NULL;
}

static Status read_and_total(Evaluation *e, const char *losses, const char *label,
                             EvaluationResult *result)
{
    const Group *world = &e->session->grid->world;
    Arena *arena = NULL; /* of the feed's buffers, for this run only */
    Feed feed = {0};
    Status status = arena_create(&arena, e->session->device);
    if (status == PAL_OK) status = create_feed(e, &feed, arena);
    status = group_agree(world, status);
    if (status == PAL_OK) status = group_agree(world, read_all(e, &feed, label, result));
    if (status == PAL_OK) total(e, result);
    if (status == PAL_OK && losses != NULL)
        status = losses_file_write(losses, world, &e->dataset->splits[e->split], e->token_nats);
    feed_destroy(&feed);
    arena_destroy(&arena);
    return status;
}

Status evaluation_run(Evaluation *e, const char *losses, const char *label,
                      EvaluationResult *result)
{
    const DataSplit *split = &e->dataset->splits[e->split];
    if (split->documents == 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: the %s split has no documents", e->path,
                 split_name(e->split));
    double start = timer_seconds();
    *result = (EvaluationResult){0};
    result->document_nats = calloc(checked_size(split->documents), sizeof(double));
    if (losses != NULL) e->token_nats = calloc(checked_size(split->documents), sizeof(float *));
    if (result->document_nats == NULL || (losses != NULL && e->token_nats == NULL))
        abort(); /* a few bytes a document */

    model_weights_changed(&e->model);
    for (int l = 0; l < e->model.options.layers; l++)
        for (int b = 0; b < e->model.rows; b++)
            memory_empty_row(e->session->device, &e->model.memory[l], b);
    Status status = read_and_total(e, losses, label, result);
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
    metrics_text(metrics, "split", split_name(e->split));
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
