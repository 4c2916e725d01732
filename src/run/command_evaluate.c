/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest evaluate CHECKPOINT --data data.h5 --split test
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/output.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/whereabouts.h"
#include "src/run/commands.h"
#include "src/run/dynamic_evaluation.h"
#include "src/run/evaluation.h"
#include "src/run/report_measures.h"
#include "src/run/sweep.h"
#include "src/run/trained.h"
#include "src/run/watchdog.h"

enum { DEFAULT_ROWS = 8, MOST_ROWS = 65536 };
#define NOT_GIVEN INT64_MIN
#define NO_RATE   (-HUGE_VAL)

typedef struct EvaluateArguments {
    const char *checkpoint, *data, *split, *losses, *report, *sweep;
    TextList sets;
    int64_t rows; /* or NOT_GIVEN, as the two below */
    bool json, dynamic;
    int64_t dynamic_windows, dynamic_rows;
    double dynamic_rate; /* or NO_RATE */
} EvaluateArguments;

/* Before the work: the data is there, and the losses do not replace what they are computed from. */
static Status check_files(const Trained *trained, const EvaluateArguments *arguments,
                          const char *data)
{
    const char *losses = arguments->losses;
    const char *const inputs[] = {trained->path, data};
    if (arguments->data == NULL && access(data, F_OK) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT,
                 "%s: %s; it is the data file of training, as %s names it: give the place with "
                 "--data",
                 data, strerror(errno), trained->path);
    if (losses == NULL) return PAL_OK;
    for (int i = 0; i < 2; i++)
        if (publish_same_file(losses, inputs[i]))
            PAL_FAIL(PAL_ERROR_USAGE,
                     "evaluate: --losses %s is the file that is read (%s); give another name",
                     losses, inputs[i]);
    return output_check(losses, NULL);
}

/* After the work, on rank 0. */
static Status write_report(const EvaluateArguments *arguments, const Trained *trained,
                           const EvaluationResult *result, const Measures *measures,
                           const char *data, const char *json)
{
    const EvaluationOrigin origin = trained_origin(trained, data, &measures->model->options);
    Report report = {.summary = json};
    report_evaluation(&report, result, measures, &origin);
    Status status = report_write(&report, arguments->report);
    report_destroy(&report);
    return status;
}

/* What people and scripts are told; the report is written by one rank for all. */
static Status tell(const EvaluateArguments *arguments, const Trained *trained,
                   const EvaluationResult *result, const Measures *measures, const char *data)
{
    const Group *world = &trained->session.grid->world;
    char *json = NULL;
    evaluation_print(result, data);
    const EvaluationOrigin origin = trained_origin(trained, data, &trained->session.config.model);
    Status status = evaluation_json(result, &origin, NULL, 0, &json);
    if (status == PAL_OK && arguments->report != NULL && group_is_root(world))
        status = write_report(arguments, trained, result, measures, data, json);
    status = group_agree(world, status);
    if (status == PAL_OK && arguments->json) log_info("%s", json);
    free(json);
    return status;
}

static Status evaluate_plain(Trained *trained, const EvaluateArguments *arguments,
                             Evaluation *evaluation)
{
    Session *session = &trained->session;
    Measures measures = {0};
    EvaluationResult result = {0};
    PAL_TRY(evaluation_build(evaluation, session->arena, &trained->parameters));
    if (arguments->report != NULL)
        PAL_TRY(evaluation_measure(evaluation, session->arena, &measures));
    PAL_TRY(session_seal(session));
    PAL_TRY(trained_load(trained, &trained->parameters));
    evaluation_start(evaluation);
    whereabouts_enter(SECTION_EVALUATION);
    PAL_TRY(evaluation_run(evaluation, arguments->losses, split_name(evaluation->split), &result));
    return tell(arguments, trained, &result, &measures, evaluation->path);
}

static Status evaluate_sizes(Trained *trained, const EvaluateArguments *arguments,
                             Evaluation *evaluation)
{
    const Group *world = &trained->session.grid->world;
    Sweep sweep;
    PAL_TRY(sweep_parse(&sweep, arguments->sweep));
    Status status = sweep_check(&sweep, trained, &arguments->sets);
    if (status == PAL_OK) status = session_seal(&trained->session);
    if (status == PAL_OK) status = trained_load(trained, &trained->parameters);
    whereabouts_enter(SECTION_EVALUATION);
    if (status == PAL_OK) status = sweep_run(&sweep, trained, evaluation);
    if (status == PAL_OK && arguments->report != NULL && group_is_root(world))
        status = sweep_report(&sweep, trained, evaluation->path, arguments->report);
    status = group_agree(world, status);
    Status told = arguments->json ? sweep_print_json(&sweep, trained, evaluation->path) : PAL_OK;
    if (status == PAL_OK) status = told;
    sweep_destroy(&sweep);
    return status;
}

static DynamicProtocol protocol_of(const EvaluateArguments *arguments)
{
    return (DynamicProtocol){
        .windows =
            arguments->dynamic_windows != NOT_GIVEN ? checked_int(arguments->dynamic_windows) : 1,
        .rows = arguments->dynamic_rows != NOT_GIVEN ? checked_int(arguments->dynamic_rows) : 1,
        .rate = arguments->dynamic_rate == NO_RATE ? 0.0 : arguments->dynamic_rate,
    };
}

static Status evaluate_dynamically(Trained *trained, const EvaluateArguments *arguments,
                                   const char *data, Split split)
{
    DynamicProtocol protocol = protocol_of(arguments);
    DynamicEvaluation dynamic;
    EvaluationResult result = {0};
    Status status =
        dynamic_create(&dynamic, trained, data, split, &protocol, arguments->report != NULL);
    whereabouts_enter(SECTION_EVALUATION);
    if (status == PAL_OK) status = dynamic_run(&dynamic, arguments->losses, &result);
    if (status == PAL_OK) status = tell(arguments, trained, &result, &dynamic.measures, data);
    dynamic_destroy(&dynamic);
    return status;
}

/* With weights that stay as they are. */
static Status evaluate_weights(Trained *trained, const EvaluateArguments *arguments,
                               const char *data, Split split)
{
    int64_t rows = arguments->rows != NOT_GIVEN ? arguments->rows : DEFAULT_ROWS;
    Evaluation evaluation = {0};
    Status status = evaluation_open(&evaluation, &trained->session, data, split, checked_int(rows));
    if (status == PAL_OK) status = trained_check_vocabulary(trained, evaluation.dataset, data);
    if (status == PAL_OK)
        status = arguments->sweep != NULL ? evaluate_sizes(trained, arguments, &evaluation)
                                          : evaluate_plain(trained, arguments, &evaluation);
    evaluation_destroy(&evaluation);
    return status;
}

static Status evaluate(Trained *trained, const EvaluateArguments *arguments)
{
    Split split;
    PAL_TRY(split_parse(arguments->split, &split));
    const char *data =
        arguments->data != NULL ? arguments->data : trained->session.config.data.path;
    const Group *world = &trained->session.grid->world;
    PAL_TRY(group_agree(world, check_files(trained, arguments, data)));
    if (arguments->report != NULL)
        PAL_TRY(
            group_agree(world, group_is_root(world) ? report_check(arguments->report) : PAL_OK));
    return arguments->dynamic ? evaluate_dynamically(trained, arguments, data, split)
                              : evaluate_weights(trained, arguments, data, split);
}

/* A key that the command sets itself, for which --set would say nothing: its option, else NULL. */
static const char *set_twice(const EvaluateArguments *a, const Sweep *sweep)
{
    char swept[64];
    snprintf(swept, sizeof swept, "model.%s=", a->sweep != NULL ? sweep->key : "");
    const struct {
        bool applies;
        const char *key, *option;
    } own[] = {{a->sweep != NULL, swept, "--sweep"},
               {a->dynamic, "batch.rows=", "--dynamic-rows"},
               {a->dynamic, "train.update_every=", "--dynamic-windows"}};
    for (int s = 0; s < a->sets.count; s++)
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            if (own[i].applies && strncmp(a->sets.texts[s], own[i].key, strlen(own[i].key)) == 0)
                return own[i].option;
    return NULL;
}

static bool is_count(int64_t number)
{
    return number == NOT_GIVEN || (number >= 1 && number <= MOST_ROWS);
}

/* What the command line alone shows. */
static Status check_arguments(const EvaluateArguments *a)
{
    Sweep sweep;
    bool dynamic_options = a->dynamic_windows != NOT_GIVEN || a->dynamic_rows != NOT_GIVEN ||
                           a->dynamic_rate != NO_RATE;
    const struct {
        bool wrong;
        const char *why;
    } checks[] = {
        {!is_count(a->rows), "--rows is 1 to 65536"},
        {a->sweep != NULL && a->losses != NULL,
         "--losses is of one evaluation, --sweep makes several; give one of them"},
        {a->sweep != NULL && a->dynamic,
         "--dynamic changes the weights, --sweep wants the same for every size; give one of them"},
        {!a->dynamic && dynamic_options,
         "--dynamic-windows, --dynamic-rows and --dynamic-rate belong to --dynamic; add it"},
        {a->dynamic && a->rows != NOT_GIVEN,
         "--rows is of plain evaluation, where it changes no number; --dynamic has --dynamic-rows"},
        {!is_count(a->dynamic_windows), "--dynamic-windows is 1 to 65536"},
        {!is_count(a->dynamic_rows), "--dynamic-rows is 1 to 65536"},
        {a->dynamic_rate != NO_RATE && !(a->dynamic_rate > 0.0 && a->dynamic_rate <= 1.0),
         "--dynamic-rate is a learning rate above 0 and up to 1"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].wrong) PAL_FAIL(PAL_ERROR_USAGE, "evaluate: %s", checks[i].why);
    if (a->sweep != NULL) PAL_TRY(sweep_parse(&sweep, a->sweep));
    const char *option = set_twice(a, &sweep);
    if (option != NULL)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "evaluate: %s sets a key that --set has too; leave that --set out", option);
    return PAL_OK;
}

static Status open_and_evaluate(Grid *grid, EvaluateArguments *arguments)
{
    char room[2][64];
    DynamicProtocol protocol = protocol_of(arguments);
    if (arguments->dynamic) PAL_TRY(dynamic_sets(&protocol, &arguments->sets, room));
    Trained trained;
    Status status = trained_open(&trained, grid, arguments->checkpoint, &arguments->sets,
                                 arguments->dynamic ? USE_TRAINS : USE_READS);
    if (status == PAL_OK) watchdog_know(&trained.session.config.watchdog, grid, NULL);
    if (status == PAL_OK) status = evaluate(&trained, arguments);
    trained_close(&trained);
    return status;
}

Status command_evaluate(const Command *command, Grid *grid, int argc, char **argv)
{
    EvaluateArguments arguments = {.rows = NOT_GIVEN,
                                   .dynamic_windows = NOT_GIVEN,
                                   .dynamic_rows = NOT_GIVEN,
                                   .dynamic_rate = NO_RATE};
    const Option options[] = {
        {"data", OPTION_TEXT, &arguments.data, "data.h5", "data file (default: that of training)"},
        {"split", OPTION_TEXT, &arguments.split, "NAME",
         "train, validation or test (default: test; validation for --sweep, where one chooses)"},
        {"set", OPTION_LIST, &arguments.sets, "SECTION.KEY=VALUE",
         "e.g. model.memory, model.compressed_memory, model.window"},
        {"report", OPTION_TEXT, &arguments.report, "DIR",
         "tables and plots: documents, frequency, attention, compression"},
        {"sweep", OPTION_TEXT, &arguments.sweep, "KEY=SIZES",
         "one evaluation a size: compressed_memory=256,512; also memory=, window="},
        {"losses", OPTION_TEXT, &arguments.losses, "FILE.h5",
         "nats of every token, /documents/NAME/nats"},
        {"rows", OPTION_INTEGER, &arguments.rows, "N",
         "at most so many documents side by side on each rank (default 8)"},
        {"dynamic", OPTION_FLAG, &arguments.dynamic, NULL,
         "dynamic evaluation: each window is predicted, then trained on"},
        {"dynamic-windows", OPTION_INTEGER, &arguments.dynamic_windows, "N",
         "windows of an update (default 1)"},
        {"dynamic-rows", OPTION_INTEGER, &arguments.dynamic_rows, "N",
         "documents side by side, of all ranks (default 1)"},
        {"dynamic-rate", OPTION_NUMBER, &arguments.dynamic_rate, "X",
         "learning rate (default: a tenth of train.lr_peak)"},
        {"json", OPTION_FLAG, &arguments.json, NULL, "last line: the totals as a JSON object"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, sizeof options / sizeof *options, argc, argv,
                            &arguments.checkpoint, 1, group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    PAL_TRY(check_arguments(&arguments));
    if (arguments.split == NULL) arguments.split = arguments.sweep != NULL ? "validation" : "test";
    return open_and_evaluate(grid, &arguments);
}
