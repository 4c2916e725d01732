/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/training.h"

#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/statistics.h"
#include "src/base/stop.h"
#include "src/run/machine.h"
#include "src/run/placing.h"
#include "src/run/skipping.h"

/* One reduction per update carries everything that ranks must agree on, as doubles:
 *
 *     failures, requests to stop and to save, nats, counted targets, then for each layer its
 *     compression loss' sum and count
 *
 * Each rank brings its share: nats and targets come from one rank of every last stage.
 */
enum { SUM_FAILURES, SUM_STOPS, SUM_SAVES, SUM_NATS, SUM_TARGETS, SUM_FIXED };

enum { MOST_MICRO_BATCHES = 1 << 24 };

static int num_sums(const Training *t) { return SUM_FIXED + 2 * t->model.options.layers; }

static double *layer_sums(const Training *t, int layer) { return &t->sums[SUM_FIXED + 2 * layer]; }

/* The order of documents over all rows of the batch; every rank follows all of it. */
static Status create_order(const Session *session, const Dataset *dataset, TrainingText text,
                           Split s, BatchOrder **order)
{
    const Config *config = &session->config;
    const DataSplit *split = &dataset->splits[s];
    if (text == TEXT_ONCE && split->documents == 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: the %s split has no documents", dataset->path, split_name(s));
    if (text == TEXT_ONCE)
        return batch_order_create_once(order, config->batch.rows, config->model.window,
                                       split->documents, split->offsets, NULL, split->documents);
    return batch_order_create(order, config->batch.rows, config->model.window, split->documents,
                              split->offsets, config->data.shuffle, (uint64_t)config->train.seed);
}

static int most_rows_of_replica(const Session *session)
{
    return checked_int(
        partition_range(session->config.batch.rows, session->grid->data.size, 0).count);
}

/* The same on every rank. */
static Status check_micro_batches(const Session *session)
{
    const Config *config = &session->config;
    const Grid *grid = session->grid;
    int wanted = config->parallel.row_groups, most = most_rows_of_replica(session);
    if (wanted > most)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "parallel.row_groups = %d, expected 1 to %d, the rows of one replica (batch.rows "
                 "= %d, parallel.data = %d), or auto",
                 wanted, most, config->batch.rows, grid->data.size);
    int groups = placing_row_groups(grid, config, most);
    if (groups > MOST_MICRO_BATCHES / config->train.update_every)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "%d row groups x train.update_every = %d micro-batches in an update, expected %d "
                 "at most; use fewer parallel.row_groups",
                 groups, config->train.update_every, MOST_MICRO_BATCHES);
    return PAL_OK;
}

/* Clusters want tokens that are numbered by falling frequency, which words are. */
static void warn_of_clusters(const Config *config, const Dataset *dataset)
{
    const char *kind = dataset->tokenizer.kind;
    if (model_clusters(&config->model) > 1 && strcmp(kind, "words") != 0)
        log_warn(
            "model.adaptive_cutoffs takes tokens for numbered by falling frequency, which those "
            "of the tokenizer %s are not; words are",
            kind);
}

Status training_check_input(Session *session, int64_t *data_checksum)
{
    PAL_TRY(check_micro_batches(session));
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    Status status = dataset_open(&dataset, session->config.data.path, 1);
    if (status == PAL_OK) {
        status = config_set_vocabulary(&session->config, dataset->tokenizer.vocabulary);
        if (status == PAL_OK)
            status = create_order(session, dataset, TEXT_ENDLESS, SPLIT_TRAIN, &order);
        if (status == PAL_OK) warn_of_clusters(&session->config, dataset);
        if (status == PAL_OK) status = dataset_checksum(dataset, data_checksum);
    }
    status = dataset_agree(dataset, status, &session->grid->world);
    batch_order_destroy(&order);
    dataset_close(&dataset);
    return status;
}

static Status create_feed(Training *t, TrainingText text, Split split)
{
    Session *session = t->session;
    Dataset *dataset = NULL;
    BatchOrder *order = NULL;
    Status status = dataset_open(&dataset, session->config.data.path, checked_int(t->rows.count));
    if (status == PAL_OK) status = dataset_checksum(dataset, &t->data_checksum);
    if (status == PAL_OK) status = create_order(session, dataset, text, split, &order);
    if (status == PAL_OK)
        feed_create(&t->feed, session->arena, dataset, split, order, t->rows,
                    t->place.rows * t->place.row_groups);
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

/* Micro-batches have as many rows on every rank: where rows do not divide, some stay empty. */
static void choose_place(Training *t)
{
    const Config *config = &t->session->config;
    const Grid *grid = t->session->grid;
    int most_rows = most_rows_of_replica(t->session);
    int groups = placing_row_groups(grid, config, most_rows);
    int rows = (most_rows + groups - 1) / groups, windows = config->train.update_every;
    groups = (most_rows + rows - 1) / rows; /* none of padding alone */
    int micro_batches = groups * windows;
    t->rows = partition_range(config->batch.rows, grid->data.size, grid->data.rank);
    t->place = placing_make(grid, config, rows, groups, micro_batches);
    t->place.recompute = config->train.recompute;
    if (grid->pipeline.size > 1)
        log_info("pipeline: %d stages, %d micro-batches in an update (%d window%s of %d group%s of "
                 "%d row%s), %.0f%% idle by the schedule",
                 grid->pipeline.size, micro_batches, windows, windows == 1 ? "" : "s", groups,
                 groups == 1 ? "" : "s", rows, rows == 1 ? "" : "s",
                 100.0 * pipeline_idle_share(grid->pipeline.size, micro_batches));
}

/* The share of rolling memory that the fullest rank has. */
static void tell_memory(const Training *t)
{
    const ModelOptions *o = &t->model.options;
    NumberType type = t->session->config.train.type;
    double largest = (double)model_memory_bytes(&t->model), whole = 0.0;
    for (int l = 0; l < o->layers; l++)
        whole += (double)t->session->config.batch.rows * o->width *
                 (o->memory[l] + o->compressed_memory[l]) * (double)number_size(type);
    group_max_double(&t->session->grid->world, &largest, 1);
    if (whole > 0.0)
        log_info("rolling memory: %.1f MiB at rest, at most %.1f MiB of it on one rank (1/%.4g)",
                 whole / MEBIBYTE, largest / MEBIBYTE, whole / largest);
}

Status training_create(Training *t, Session *session, TrainingText text, Split split)
{
    *t = (Training){.session = session};
    const Config *config = &session->config;
    Grid *grid = session->grid;
    set_schedule(t);
    PAL_TRY(check_micro_batches(session));
    choose_place(t);
    Arena *arena = session->arena;
    if (text == TEXT_RANDOM)
        feed_create_random(&t->feed, arena, config->model.vocabulary, config->batch.rows, t->rows,
                           t->place.rows * t->place.row_groups, config->model.window);
    else
        PAL_TRY(create_feed(t, text, split));

    parameters_create(&t->parameters, arena, &config->model, &t->place, true);
    optimizer_create(&t->optimizer, &grid->data, arena, &t->parameters);
    size_t layers = checked_size(config->model.layers);
    t->sums = arena_host(arena, PURPOSE_DATA, (SUM_FIXED + 2 * layers) * sizeof *t->sums);
    t->layer_scale = arena_host(arena, PURPOSE_DATA, layers * sizeof *t->layer_scale);
    t->bad_rows = arena_host(arena, PURPOSE_DATA, checked_size(config->batch.rows));
    t->bad_steps =
        (BadSteps){.spike_z = config->train.spike_z, .max_skips = config->train.max_skips};
    Status status =
        model_create(&t->model, session->device, arena, &config->model, &t->place, &grid->tensor,
                     &t->parameters, true, config->data.reset_memory == RESET_NEVER);
    if (status == PAL_OK)
        pipeline_create(&t->pipeline, &grid->pipeline, &t->model, arena,
                        t->place.row_groups * config->train.update_every);
    return group_agree(&grid->world, status);
}

void training_start(Training *t)
{
    model_start(&t->model);
    tell_memory(t);
}

void training_initialize(Training *t)
{
    parameters_initialize(&t->parameters, t->session->device,
                          (uint64_t)t->session->config.train.seed);
}

void training_destroy(Training *t) { feed_destroy(&t->feed); }

/* --- what the pipeline asks for, with the Training as context --------------------------------- */

static void next_window(void *context, Window *window)
{
    Training *t = context;
    phase_begin(t->session->device->times, PHASE_DATA);
    *window = (Window){.index = t->windows, .seed = (uint64_t)t->session->config.train.seed};
    Status status = feed_next(&t->feed, window);
    if (t->status == PAL_OK) t->status = status;
    t->windows++;
}

static void after_forward(void *context, const Flight *flight)
{
    Training *t = context;
    if (!t->place.has_output || t->place.tensor_part != 0) return;
    t->sums[SUM_NATS] += t->session->device->op->sum(t->session->device, flight->nats);
    for (int b = 0; b < flight->window.rows; b++) t->sums[SUM_TARGETS] += flight->window.counted[b];
    if (t->flight_hook.call != NULL) t->flight_hook.call(t->flight_hook.context, flight);
}

/* Of what every rank of the tensor group has whole, each has a share of the gradient. */
static void sum_shared(Training *t, ParameterGroup group)
{
    const Parameters *p = &t->parameters;
    int64_t first = p->shared_first[group], end = p->group_first[group + 1];
    group_sum(&t->session->grid->tensor, TRAFFIC_GRADIENTS, tensor_reals(p->gradient) + first,
              end - first);
}

static void reduce_compression(Training *t)
{
    const int64_t *first = &t->parameters.group_first[GROUP_COMPRESSION];
    sum_shared(t, GROUP_COMPRESSION);
    optimizer_reduce_begin(&t->optimizer, first[0], first[1]);
}

/* With the task loss f_c's gradients come from later windows' backward; with the others from
 * forward alone. */
static bool compression_waits(const Training *t)
{
    return t->model.options.compression_loss == COMPRESSION_LOSS_TASK;
}

/* In the last backward of an update: gradients of this layer and what lies above it in the flat
 * buffer begin their way to the optimiser, and f_c's before all others. */
static void after_layer(void *context, int layer)
{
    Training *t = context;
    int64_t first = parameters_layer_first(&t->parameters, t->place.first_layer + layer);
    phase_begin(t->session->device->times, PHASE_REDUCTION);
    if (layer == t->place.layers - 1 && !compression_waits(t)) reduce_compression(t);
    optimizer_reduce_begin(&t->optimizer, first, t->reduced_from);
    t->reduced_from = first;
}

/* --- reduction and step ----------------------------------------------------------------------- */

/* What both ends of the pipeline have, each with a share of its gradient. */
static void sum_tied(Training *t)
{
    const Group *ends = &t->session->grid->ends;
    const Parameters *p = &t->parameters;
    for (int i = 0; i < p->count; i++) {
        if (!p->table[i].at_both_ends) continue;
        Tensor gradient = parameter_view(&p->table[i], p->gradient);
        group_sum(ends, TRAFFIC_GRADIENTS, tensor_reals(gradient), tensor_count(gradient));
    }
}

/* What is left of the gradients on their way to the optimiser, and the sums over all ranks. */
static void reduce(Training *t)
{
    const Parameters *p = &t->parameters;
    phase_begin(t->session->device->times, PHASE_REDUCTION);
    for (int l = 0; l < t->place.layers; l++) {
        double *sums = layer_sums(t, t->place.first_layer + l);
        sums[0] = t->model.compression_sums[l].sum;
        sums[1] = t->model.compression_sums[l].count;
    }
    if (compression_waits(t)) reduce_compression(t);
    sum_shared(t, GROUP_MAIN);
    sum_tied(t);
    optimizer_reduce_begin(&t->optimizer, p->shared_first[GROUP_MAIN],
                           p->group_first[GROUP_MAIN + 1]);
    optimizer_reduce_begin(&t->optimizer, 0, t->reduced_from);
    group_sum_double(&t->session->grid->world, t->sums, num_sums(t));
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

/* Unless that would be a bad step: the verdict follows from what every rank has. */
static void step(Training *t, UpdateReport *report)
{
    Device *device = t->session->device;
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
    phase_begin(device->times, PHASE_OPTIMIZER);
    optimizer_measure(device, &t->optimizer, &t->session->grid->world, &options, report->norms);
    for (int g = 0; g < GROUP_COUNT; g++) report->norms[g] = statistics_printable(report->norms[g]);
    report->loss_z = bad_steps_z(&t->bad_steps, report->loss);
    report->verdict = bad_steps_judge(&t->bad_steps, report->loss, report->norms, GROUP_COUNT);
    if (report->verdict != STEP_GOOD) return;
    optimizer_step(device, &t->optimizer, &options, report->norms);
    model_weights_changed(&t->model);
}

static void skip_or_step(Training *t, UpdateReport *report)
{
    int64_t before = t->bad_steps.history.skips;
    step(t, report);
    bad_steps_count(&t->bad_steps, report->verdict, report->update, report->loss);
    bool skipped = report->verdict != STEP_GOOD;
    report->skips = skipped ? t->bad_steps.history.skips : before;
    if (skipped && report->verdict != STEP_SPIKE) report->emptied_rows = skipping_empty_rows(t);
}

static double total_operations(const PhaseTimes *times)
{
    double total = 0.0;
    for (int p = 0; p < PHASE_COUNT; p++) total += times->operations[p];
    return total;
}

/* Means over the ranks, and who waited longest. */
static void share_traffic(const Group *world, UpdateReport *report)
{
    Traffic *traffic = &report->traffic;
    double share = traffic_seconds(traffic) / report->seconds;
    report->wait_share = group_mean_double(world, share);
    report->most_wait_share = share;
    group_max_double(world, &report->most_wait_share, 1);
    group_sum_double(world, traffic->bytes, TRAFFIC_COUNT);
    group_sum_double(world, traffic->wait_seconds, TRAFFIC_COUNT);
    for (int k = 0; k < TRAFFIC_COUNT; k++) {
        traffic->bytes[k] /= world->size;
        traffic->wait_seconds[k] /= world->size;
    }
}

Status training_update(Training *t, UpdateReport *report)
{
    Device *device = t->session->device;
    double start = timer_seconds(), operations = total_operations(&t->session->times);
    *report = (UpdateReport){.update = t->update + 1};
    report->windows = schedule_windows(&t->schedule, report->update);
    const Traffic traffic = t->session->grid->traffic;
    const Group *world = &t->session->grid->world;
    const PipelineHooks hooks = {t, next_window, after_forward, after_layer};

    for (int i = 0; i < num_sums(t); i++) t->sums[i] = 0.0;
    t->status = PAL_OK;
    t->reduced_from = t->parameters.shared_first[GROUP_MAIN];
    model_begin_update(&t->model);
    double pipeline_start = timer_seconds();
    pipeline_run(&t->pipeline, report->windows, &hooks);
    report->pipeline_seconds = timer_seconds() - pipeline_start;
    model_finish_update(&t->model);

    t->sums[SUM_FAILURES] = t->status != PAL_OK;
    t->sums[SUM_STOPS] = stop_requested() != STOP_NONE;
    t->sums[SUM_SAVES] = t->asks_to_save;
    reduce(t);
    if (t->sums[SUM_FAILURES] > 0.0) {
        optimizer_abandon(&t->optimizer);
        return group_agree(world, t->status);
    }

    report->stop = t->sums[SUM_STOPS] > 0.0;
    report->save = t->sums[SUM_SAVES] > 0.0;
    report->loss = statistics_printable(t->sums[SUM_NATS] / t->sums[SUM_TARGETS]);
    report->tokens = (int64_t)t->sums[SUM_TARGETS];
    report->compression_loss = statistics_printable(finish_compression_loss(t));
    skip_or_step(t, report);
    phase_end(device->times);
    t->update = report->update;
    t->tokens += report->tokens;
    report->seconds = timer_seconds() - start;
    report->traffic = traffic_difference(&t->session->grid->traffic, &traffic);
    report->own_seconds = report->seconds - traffic_seconds(&report->traffic);
    report->operations = total_operations(&t->session->times) - operations;
    report->operations = group_mean_double(world, report->operations);
    share_traffic(world, report);
    return PAL_OK;
}
