/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/training.h"

#include <math.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/statistics.h"

/* One reduction per update carries everything that ranks must agree on, as doubles:
 *
 *     failures, nats, counted targets, then for each layer its compression loss' sum and count
 */
enum { SUM_FAILURES, SUM_NATS, SUM_TARGETS, SUM_FIXED };

static int num_sums(const Training *t) { return SUM_FIXED + 2 * t->model.options.layers; }

static double *layer_sums(const Training *t, int layer) { return &t->sums[SUM_FIXED + 2 * layer]; }

static Status check_rows(const Session *session)
{
    int rows = session->config.batch.rows, ranks = session->grid->data.size;
    if (ranks > rows)
        PAL_FAIL(
            PAL_ERROR_CONFIG,
            "batch.rows = %d is less than the %d data-parallel ranks; start at most %d ranks or "
            "raise batch.rows",
            rows, ranks, rows);
    return PAL_OK;
}

/* The order of documents over all rows of the batch; every rank follows all of it. */
static Status create_order(const Session *session, const Dataset *dataset, BatchOrder **order)
{
    const Config *config = &session->config;
    const DataSplit *split = &dataset->splits[SPLIT_TRAIN];
    return batch_order_create(order, config->batch.rows, config->model.window, split->documents,
                              split->offsets, config->data.shuffle, (uint64_t)config->train.seed);
}

Status training_check_input(Session *session)
{
    PAL_TRY(check_rows(session));
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    Status status = dataset_open(&dataset, session->config.data.path, 1);
    if (status == PAL_OK) {
        session->config.model.vocabulary = dataset->vocabulary;
        status = create_order(session, dataset, &order);
    }
    status = dataset_agree(dataset, status, &session->grid->world);
    batch_order_destroy(&order);
    dataset_close(&dataset);
    return status;
}

static Status create_feed(Training *t)
{
    Session *session = t->session;
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    Status status = dataset_open(&dataset, session->config.data.path, checked_int(t->rows.count));
    if (status == PAL_OK) status = create_order(session, dataset, &order);
    if (status == PAL_OK)
        feed_create(&t->feed, session->arena, dataset, SPLIT_TRAIN, order, t->rows);
    else
        dataset_close(&dataset);
    return group_agree(&session->grid->world, status);
}

static void set_schedule(Training *t)
{
    const TrainConfig *train = &t->session->config.train;
    t->schedule = (Schedule){
        .lr_start = train->lr_start,
        .lr_peak = train->lr_peak,
        .lr_end = train->lr_end,
        .warmup = train->warmup,
        .decay = train->decay,
        .update_every = train->update_every,
        .update_every_after = train->update_every_after,
    };
}

Status training_create(Training *t, Session *session, bool random_tokens)
{
    *t = (Training){.session = session};
    const Config *config = &session->config;
    Group *data = &session->grid->data;
    PAL_TRY(check_rows(session));
    t->rows = partition_range(config->batch.rows, data->size, data->rank);
    set_schedule(t);
    Arena *arena = session->arena;
    if (random_tokens)
        feed_create_random(&t->feed, arena, config->model.vocabulary, config->batch.rows, t->rows,
                           config->model.window);
    else
        PAL_TRY(create_feed(t));

    parameters_create(&t->parameters, arena, &config->model, true);
    size_t layers = checked_size(config->model.layers);
    t->sums = arena_host(arena, PURPOSE_DATA, (SUM_FIXED + 2 * layers) * sizeof *t->sums);
    t->layer_scale = arena_host(arena, PURPOSE_DATA, layers * sizeof *t->layer_scale);
    Status status =
        model_create(&t->model, session->device, arena, &config->model, &t->parameters,
                     checked_int(t->rows.count), true, config->data.reset_memory == RESET_NEVER);
    return group_agree(&session->grid->world, status);
}

void training_start(Training *t)
{
    model_start(&t->model);
    parameters_initialize(&t->parameters, t->session->device,
                          (uint64_t)t->session->config.train.seed);
}

void training_destroy(Training *t) { feed_destroy(&t->feed); }

/* One window of every row of this rank: forward, backward, memory. */
static Status run_window(Training *t)
{
    Model *model = &t->model;
    Device *device = t->session->device;
    Window window = {.index = t->windows, .seed = (uint64_t)t->session->config.train.seed};

    phase_begin(device->times, PHASE_DATA);
    Status status = feed_next(&t->feed, &window);
    model_forward(model, &window);
    model_backward(model, &window);
    model_remember(model, &window);

    t->sums[SUM_NATS] += device->op->sum(device, model->nats);
    for (int b = 0; b < window.rows; b++) t->sums[SUM_TARGETS] += window.counted[b];
    t->windows++;
    return status;
}

/* Gradients and sums over the data group. */
static void reduce(Training *t)
{
    const Group *data = &t->session->grid->data;
    phase_begin(t->session->device->times, PHASE_REDUCTION);
    for (int l = 0; l < t->model.options.layers; l++) {
        layer_sums(t, l)[0] = t->model.compression_sums[l].sum;
        layer_sums(t, l)[1] = t->model.compression_sums[l].count;
    }
    group_sum_double(data, t->sums, num_sums(t));
    group_sum(data, t->parameters.gradient.data, tensor_count(t->parameters.gradient));
}

/* The compression loss of a layer is sum / count, that of the model the mean over the layers that
 * compress. With the task loss, f_c is trained by the mean of the nats instead. */
static double finish_compression_loss(Training *t)
{
    const ModelOptions *options = &t->model.options;
    int compressing = model_compressing_layers(options);
    double loss = 0.0;
    for (int l = 0; l < options->layers; l++) {
        double sum = layer_sums(t, l)[0], count = layer_sums(t, l)[1];
        t->layer_scale[l] = count > 0.0 ? 1.0 / (count * compressing) : 0.0;
        loss += sum * t->layer_scale[l];
        if (options->compression_loss == COMPRESSION_LOSS_TASK)
            t->layer_scale[l] = 1.0 / t->sums[SUM_TARGETS];
    }
    return loss;
}

static bool step(Training *t, UpdateReport *report)
{
    const TrainConfig *train = &t->session->config.train;
    report->learning_rate = schedule_learning_rate(&t->schedule, report->update);
    OptimizerOptions options = {
        .learning_rate = report->learning_rate,
        .clip = train->clip,
        .weight_decay = train->weight_decay,
        .update = report->update,
        .main_scale = 1.0 / t->sums[SUM_TARGETS],
        .layer_scale = t->layer_scale,
    };
    phase_begin(t->session->device->times, PHASE_OPTIMIZER);
    bool stepped = optimizer_step(t->session->device, &t->parameters, &options, report->norms);
    model_weights_changed(&t->model);
    return stepped;
}

static double total_operations(const PhaseTimes *times)
{
    double total = 0.0;
    for (int p = 0; p < PHASE_COUNT; p++) total += times->operations[p];
    return total;
}

Status training_update(Training *t, UpdateReport *report)
{
    Device *device = t->session->device;
    double start = timer_seconds(), operations = total_operations(&t->session->times);
    *report = (UpdateReport){.update = t->update + 1};
    report->windows = schedule_windows(&t->schedule, report->update);
    Status status = PAL_OK;

    for (int i = 0; i < num_sums(t); i++) t->sums[i] = 0.0;
    model_begin_update(&t->model);
    for (int w = 0; w < report->windows; w++) {
        Status window_status = run_window(t);
        if (status == PAL_OK) status = window_status;
    }
    model_finish_update(&t->model);

    t->sums[SUM_FAILURES] = status != PAL_OK;
    reduce(t);
    if (t->sums[SUM_FAILURES] > 0.0) return group_agree(&t->session->grid->world, status);

    report->loss = t->sums[SUM_NATS] / t->sums[SUM_TARGETS];
    report->tokens = (int64_t)t->sums[SUM_TARGETS];
    report->compression_loss = finish_compression_loss(t);
    bool stepped = isfinite(report->loss) && step(t, report);
    phase_end(device->times);
    if (!stepped)
        PAL_FAIL(PAL_ERROR_INTERNAL,
                 "update %lld: training has diverged (loss %g, gradient norms %g and %g, learning "
                 "rate %g); the weights are those of the update before; try a lower train.lr_peak, "
                 "a longer train.warmup or a smaller train.clip",
                 (long long)report->update, statistics_printable(report->loss),
                 statistics_printable(report->norms[GROUP_MAIN]),
                 statistics_printable(report->norms[GROUP_COMPRESSION]), report->learning_rate);

    t->update = report->update;
    t->tokens += report->tokens;
    report->seconds = timer_seconds() - start;
    report->operations = total_operations(&t->session->times) - operations;
    return PAL_OK;
}
