/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest train CONFIG.ini: a run and its folder.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/metrics.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/base/progress.h"
#include "src/base/whereabouts.h"
#include "src/run/commands.h"
#include "src/run/evaluation.h"
#include "src/run/job_limit.h"
#include "src/run/machine.h"
#include "src/run/resume.h"
#include "src/run/rewinding.h"
#include "src/run/run_folder.h"
#include "src/run/saving.h"
#include "src/run/skipping.h"
#include "src/run/stopping.h"
#include "src/run/stragglers.h"
#include "src/run/test_nan.h"
#include "src/run/training.h"
#include "src/run/watchdog.h"

typedef struct TrainRun {
    Session session;
    Training training;
    Evaluation evaluation; /* of the validation split, when train.evaluate_every > 0 */
    bool evaluates;
    Metrics *metrics; /* on rank 0 */
    char folder[PAL_PATH_SIZE];
    Resume resume;
    Saving saving;
    JobLimit limit;
    Stragglers stragglers;
    TestNan test_nan;
    Progress progress;
    double launch;         /* seconds from the start of the process to that of the command */
    double began;          /* when the command began */
    double started, asked; /* when the loop began, and when a checkpoint was last asked for */
    int64_t first_update;  /* updates done before this start of the program */
    int64_t computed;      /* updates since then, made or skipped */
    double seconds, wait_seconds; /* in updates since the last step line */
    int64_t line_tokens;
    double line_operations;
} TrainRun;

/* update 120/2000  loss 2.1034  compression 0.0123  norms 0.41 0.02  lr 3.0e-04  41230 tok/s ... */
static void show_step(TrainRun *run, const UpdateReport *report)
{
    const Training *t = &run->training;
    int64_t updates = run->session.config.train.updates;
    double per_update = (timer_seconds() - run->started) / (double)run->computed;
    double rate = run->session.product_rate * run->seconds;
    char left[32], wait[32] = "";
    if (run->session.grid->world.size > 1)
        snprintf(wait, sizeof wait, "wait %.0f%%  ", 100.0 * run->wait_seconds / run->seconds);
    duration_text(per_update * (double)(updates - t->update), left);
    log_info("update %lld/%lld  loss %.4f  compression %.4g  norms %.3g %.3g  lr %.2e  "
             "%.0f tok/s  %.0f%% of product rate  %s%s left",
             (long long)t->update, (long long)updates, report->loss, report->compression_loss,
             report->norms[GROUP_MAIN], report->norms[GROUP_COMPRESSION], report->learning_rate,
             (double)run->line_tokens / run->seconds,
             rate > 0.0 ? 100.0 * run->line_operations / rate : 0.0, wait, left);
    run->seconds = run->wait_seconds = 0.0;
    run->line_tokens = 0;
    run->line_operations = 0.0;
}

/* bytes_KIND and wait_KIND (seconds) of an update: means over the ranks. */
static void record_traffic(Metrics *m, const UpdateReport *report)
{
    char name[48];
    for (int k = 0; k < TRAFFIC_COUNT; k++) {
        snprintf(name, sizeof name, "bytes_%s", traffic_name((TrafficKind)k));
        metrics_number(m, name, report->traffic.bytes[k]);
        snprintf(name, sizeof name, "wait_%s", traffic_name((TrafficKind)k));
        metrics_number(m, name, report->traffic.wait_seconds[k]);
    }
    metrics_number(m, "wait_share", report->wait_share);
    metrics_number(m, "most_wait_share", report->most_wait_share);
}

static Status record_step(TrainRun *run, const UpdateReport *report)
{
    Metrics *m = run->metrics;
    metrics_begin(m, "train");
    metrics_integer(m, "update", report->update);
    metrics_number(m, "loss", report->loss);
    metrics_number(m, "compression_loss", report->compression_loss);
    metrics_number(m, "gradient_norm", report->norms[GROUP_MAIN]);
    metrics_number(m, "compression_gradient_norm", report->norms[GROUP_COMPRESSION]);
    metrics_number(m, "learning_rate", report->learning_rate);
    metrics_integer(m, "windows", report->windows);
    metrics_integer(m, "tokens", run->training.tokens);
    metrics_number(m, "seconds", report->seconds);
    metrics_number(m, "tokens_per_second", (double)report->tokens / report->seconds);
    skipping_record(m, report);
    if (run->session.grid->world.size > 1) record_traffic(m, report);
    return metrics_end(m);
}

static Status validate(TrainRun *run)
{
    EvaluationResult result = {0};
    char words[80];
    whereabouts_enter(SECTION_EVALUATION);
    Status status = evaluation_run(&run->evaluation, NULL, "validation", &result);
    if (status == PAL_OK) {
        run->training.evaluated = run->training.update;
        log_info("update %lld  validation: %.4f nats/token  %.4f bits/byte  word perplexity %.1f "
                 "(%s)  (%lld tokens, %.1f s)",
                 (long long)run->training.update, result.nats / (double)result.tokens,
                 evaluation_bits_per_byte(&result), evaluation_word_perplexity(&result),
                 evaluation_words_text(&result, words), (long long)result.tokens, result.seconds);
        metrics_begin(run->metrics, "evaluate");
        metrics_integer(run->metrics, "update", run->training.update);
        evaluation_report(run->metrics, &result);
        status = group_agree(&run->session.grid->world, metrics_end(run->metrics));
    }
    return status;
}

static bool due(int64_t update, int64_t every) { return every > 0 && update % every == 0; }

/* After a request to stop as after its update; an evaluation that was stopped is made up for. */
static bool evaluation_is_due(const TrainRun *run)
{
    const Training *t = &run->training;
    return run->evaluates && due(t->update, run->session.config.train.evaluate_every) &&
           t->evaluated < t->update;
}

/* Clocks differ between ranks, so that of rank 0 decides. */
static bool asks_to_save(const TrainRun *run)
{
    double minutes = run->session.config.checkpoint.minutes;
    return minutes > 0.0 && group_is_root(&run->session.grid->world) &&
           timer_seconds() - run->asked >= 60.0 * minutes;
}

/* After the first update of a run that goes on: where the time since the start has gone. */
static void tell_start(const TrainRun *run)
{
    double read = run->resume.seconds, update = timer_seconds() - run->started;
    double warm_up = run->started - run->began - read;
    if (run->first_update > 0)
        log_info("first update %.2f s after the process was started: launch %.2f s, reading the "
                 "checkpoint %.2f s, warm-up %.2f s, the update %.2f s",
                 run->launch + read + warm_up + update, run->launch, read, warm_up, update);
}

static Status one_update(TrainRun *run, UpdateReport *report)
{
    const TrainConfig *train = &run->session.config.train;
    run->training.asks_to_save = asks_to_save(run);
    whereabouts_update(run->training.update + 1);
    whereabouts_enter(SECTION_STEP);
    PAL_TRY(training_update(&run->training, report));
    run->computed++;
    run->seconds += report->seconds;
    run->wait_seconds += report->wait_share * report->seconds;
    run->line_tokens += report->tokens;
    run->line_operations += report->operations;

    PAL_TRY(group_agree(&run->session.grid->world, record_step(run, report)));
    if (report->verdict != STEP_GOOD) skipping_tell(&run->training, report);
    stragglers_add(&run->stragglers, report->own_seconds);
    if (due(report->update, train->log_every) || report->update == train->updates) {
        show_step(run, report);
        stragglers_look(&run->stragglers);
    } else {
        progress_show(&run->progress, report->update);
    }
    if (run->computed == 1) tell_start(run);
    return PAL_OK;
}

/* Between skipped updates nothing is saved that nobody asks for: such a checkpoint has the weights
 * that led there, and would push out the one that the run may go back to. What was due then is due
 * after them. */
static bool save_is_due(const TrainRun *run, const UpdateReport *report)
{
    int64_t every = run->session.config.checkpoint.every;
    if (report->verdict != STEP_GOOD) return false;
    return report->save ||
           (every > 0 && report->update / every > (report->update - 1 - report->skips) / every);
}

/* A save that fails costs no more than that: the next one comes at its time. */
static void ask_for_checkpoint(TrainRun *run)
{
    whereabouts_enter(SECTION_SAVE);
    saving_begin(&run->saving);
    run->asked = timer_seconds();
}

/* The run as it is now is on the disk afterwards. due: so it would be in any case. */
static Status save_now(TrainRun *run, bool due)
{
    whereabouts_enter(SECTION_SAVE);
    return saving_now(&run->saving, due);
}

/* For people who write job scripts; the batch system's own signal is then early enough. */
static void tell_lead(const TrainRun *run)
{
    const JobLimit *limit = &run->limit;
    if (limit->update > 0.0)
        log_info("updates took up to %.1f s, saves %.1f s: a job script gives time for the last "
                 "ones with --signal=USR1@%.0f",
                 limit->update, saving_longest(&run->saving), ceil(job_limit_lead(limit)));
}

static Status stop_early(TrainRun *run, bool due)
{
    StopReason reason = stopping_agree(&run->session.grid->world);
    PAL_TRY(save_now(run, due));
    tell_lead(run);
    PAL_FAIL(PAL_STOPPED_EARLY, "stopped at update %lld of %lld with a checkpoint: %s",
             (long long)run->training.update, (long long)run->session.config.train.updates,
             stop_text(reason));
}

static Status train(TrainRun *run)
{
    const Config *config = &run->session.config;
    int64_t updates = config->train.updates;
    run->started = run->asked = timer_seconds();
    run->first_update = run->training.update;
    run->progress = progress_begin("training", updates, "updates");
    stragglers_create(&run->stragglers, run->session.grid, config->jobs.straggler_factor,
                      config->jobs.straggler_seconds);
    run->limit = job_limit_read(config->jobs.lead, saving_bytes(&run->saving));
    bool stop = stopping_agree(&run->session.grid->world) != STOP_NONE;
    /* On from another folder's checkpoint: it is this run's own, before there is a next one. */
    bool save = run->resume.path[0] != '\0' && !run->resume.same_folder;
    if (run->first_update >= updates)
        log_info("nothing is left to train: the checkpoint is of update %lld, and train.updates = "
                 "%lld",
                 (long long)run->first_update, (long long)updates);
    for (;;) {
        if (!stop && evaluation_is_due(run)) {
            Status status = validate(run);
            stop = status == PAL_STOPPED_EARLY;
            if (stop)
                log_info("%s", status_message());
            else
                PAL_TRY(status);
        }
        saving_poll(&run->saving);
        if (stop && (run->training.update < updates || evaluation_is_due(run)))
            return stop_early(run, save);
        if (run->training.update >= updates) return save_now(run, save);
        if (save) ask_for_checkpoint(run);

        UpdateReport report;
        PAL_TRY(one_update(run, &report));
        job_limit_measured(&run->limit, report.seconds, saving_longest(&run->saving));
        if (config->train.minutes > 0.0) /* of which every start makes one update at least */
            stop_at(STOP_MINUTES, run->started + 60.0 * config->train.minutes);
        stop = report.stop;
        save = save_is_due(run, &report);
        if (bad_steps_too_many(&run->training.bad_steps))
            PAL_TRY(rewinding_go_back(&run->training, &run->saving, run->folder, run->metrics,
                                      &report));
    }
}

/* The same number on every rank, also where the rows do not divide. */
static int most_rows_of_a_rank(const Session *session)
{
    int ranks = session->grid->data.size;
    return (session->config.batch.rows + ranks - 1) / ranks;
}

/* Of the whole model. */
static int64_t count_weights(const ModelOptions *options)
{
    Parameters whole;
    Placement place = placement_whole(options, 1);
    parameters_describe(&whole, options, &place);
    int64_t total = parameters_total(&whole);
    free(whole.table);
    return total;
}

static Status create(TrainRun *run)
{
    Session *session = &run->session;
    const Config *config = &session->config;
    PAL_TRY(session_start(session));
    PAL_TRY(training_create(&run->training, session, TEXT_ENDLESS, SPLIT_TRAIN));
    run->evaluates = config->train.evaluate_every > 0 &&
                     run->training.feed.dataset->splits[SPLIT_VALIDATION].documents > 0;
    if (run->evaluates) {
        PAL_TRY(evaluation_open(&run->evaluation, session, config->data.path, SPLIT_VALIDATION,
                                most_rows_of_a_rank(session)));
        PAL_TRY(evaluation_build(&run->evaluation, session->arena, &run->training.parameters));
    }
    const CheckpointState *resumed =
        run->resume.same_folder ? &run->resume.checkpoint->state : NULL;
    PAL_TRY(saving_create(&run->saving, &run->training, run->folder, resumed));
    PAL_TRY(session_seal(session));
    training_start(&run->training);
    test_nan_install(&run->test_nan, &run->training);
    saving_start(&run->saving);
    if (run->evaluates) evaluation_start(&run->evaluation);
    if (run->resume.checkpoint == NULL)
        training_initialize(&run->training);
    else
        PAL_TRY(resume_load(&run->resume, &run->training));
    const DataSplit *split = &run->training.feed.dataset->splits[SPLIT_TRAIN];
    log_info("model: %lld weights, temporal range %lld tokens, %lld document%s of %lld tokens, "
             "%d row%s",
             (long long)count_weights(&config->model),
             (long long)model_temporal_range(&config->model), (long long)split->documents,
             split->documents == 1 ? "" : "s", (long long)split->tokens, config->batch.rows,
             config->batch.rows == 1 ? "" : "s");
    return PAL_OK;
}

static void destroy(TrainRun *run)
{
    stragglers_destroy(&run->stragglers);
    saving_destroy(&run->saving);
    resume_close(&run->resume);
    if (run->evaluates) evaluation_destroy(&run->evaluation);
    training_destroy(&run->training);
    session_stop(&run->session);
}

/* All that a user may have got wrong. */
static Status prepare(TrainRun *run, Grid *grid, const char *config_path, const TextList *sets,
                      const char *folder, const char *resume)
{
    Session *session = &run->session;
    PAL_TRY(session_read_config(session, grid, config_path, sets));
    int64_t data_checksum;
    PAL_TRY(training_check_input(session, &data_checksum));
    PAL_TRY(test_nan_read(&run->test_nan, &grid->world, session->config.batch.rows));
    PAL_TRY(run_folder_name(folder, config_path, run->folder));
    PAL_TRY(saving_check_folder(&session->config.checkpoint, run->folder));
    PAL_TRY(resume_find(&run->resume, session, data_checksum, resume, run->folder));
    PAL_TRY(run_folder_open(grid, run->folder, &run->resume, &run->metrics));
    watchdog_know(&session->config.watchdog, grid, run->folder);
    return PAL_OK;
}

Status command_train(const Command *command, Grid *grid, int argc, char **argv)
{
    const char *config_path = NULL, *folder = NULL, *resume = "auto";
    TextList sets = {0};
    const Option options[] = {
        {"set", OPTION_LIST, &sets, "SECTION.KEY=VALUE", "change one key; may be repeated"},
        {"run", OPTION_TEXT, &folder, "DIR", "run folder (default: runs/ and CONFIG's name)"},
        {"resume", OPTION_TEXT, &resume, "auto|none|FILE",
         "go on from the run folder's newest whole checkpoint (auto, the default), or from FILE"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 3, argc, argv, &config_path, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;

    TrainRun *run = fatal_calloc(1, sizeof *run, "the run");
    run->launch = machine_process_age();
    run->began = timer_seconds();
    Status status = prepare(run, grid, config_path, &sets, folder, resume);
    if (status == PAL_OK) status = create(run);
    if (status == PAL_OK)
        status = run_folder_take(&run->training, run->folder, &run->resume, run->metrics);
    if (status == PAL_OK) status = train(run);
    destroy(run);
    char message[2048];
    snprintf(message, sizeof message, "%s", status_message());
    Status closed = group_agree(&grid->world, metrics_close(&run->metrics));
    if (status == PAL_OK) {
        status = closed;
    } else { /* what ended the run comes last, and counts */
        if (closed != PAL_OK) log_warn("%s", status_message());
        status_set_message(message);
    }
    free(run);
    return status;
}
