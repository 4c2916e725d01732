/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest evaluate CHECKPOINT --data data.h5 --split test
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/output.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/whereabouts.h"
#include "src/run/commands.h"
#include "src/run/evaluation.h"
#include "src/run/trained.h"
#include "src/run/watchdog.h"

typedef struct EvaluateArguments {
    const char *checkpoint, *data, *split, *losses;
    TextList sets;
    int64_t rows;
    bool json, documents;
} EvaluateArguments;

static void print_documents(const Evaluation *e, const EvaluationResult *result)
{
    const DataSplit *split = evaluation_split(e);
    log_info("%-24s %12s %14s %12s %10s", "document", "tokens", "nats", "bits/byte", "word ppl");
    for (int64_t d = 0; d < split->documents; d++) {
        EvaluationResult one = {
            .nats = result->document_nats[d], .bytes = split->bytes[d], .words = split->words[d]};
        log_info("%-24s %12lld %14.2f %12.4f %10.2f", split->names[d],
                 (long long)(split->offsets[d + 1] - split->offsets[d]), one.nats,
                 evaluation_bits_per_byte(&one), evaluation_word_perplexity(&one));
    }
}

static void print_totals(const Evaluation *e, const EvaluationResult *result)
{
    log_info(
        "%s, %s: %lld document%s, %lld tokens, %lld bytes, %lld words (counted by white space)",
        e->path, split_name(e->feed.split), (long long)evaluation_split(e)->documents,
        evaluation_split(e)->documents == 1 ? "" : "s", (long long)result->tokens,
        (long long)result->bytes, (long long)result->words);
    log_info("total %.2f nats, %.4f nats/token, %.4f bits per byte, word-level perplexity %.2f",
             result->nats, result->nats / (double)result->tokens, evaluation_bits_per_byte(result),
             evaluation_word_perplexity(result));
    log_info("%.1f s, %.0f tokens/s", result->seconds, (double)result->tokens / result->seconds);
}

static Status print_json(const Trained *trained, const Evaluation *e,
                         const EvaluationResult *result)
{
    Metrics *metrics = NULL;
    PAL_TRY(metrics_open(&metrics, NULL));
    metrics_begin(metrics, "evaluate");
    metrics_integer(metrics, "update", trained->update);
    evaluation_report(metrics, e, result);
    Status status = metrics_end(metrics);
    if (status == PAL_OK) log_info("%s", metrics_line(metrics));
    Status closed = metrics_close(&metrics);
    return status == PAL_OK ? closed : status;
}

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

static Status evaluate(Trained *trained, const EvaluateArguments *arguments)
{
    Split split;
    PAL_TRY(split_parse(arguments->split, &split));
    const char *data =
        arguments->data != NULL ? arguments->data : trained->session.config.data.path;
    const Group *world = &trained->session.grid->world;
    PAL_TRY(group_agree(world, check_files(trained, arguments, data)));
    Evaluation evaluation = {0};
    Status status =
        evaluation_create(&evaluation, &trained->session, trained->session.arena,
                          &trained->parameters, data, split, checked_int(arguments->rows));
    EvaluationResult result = {0};
    if (status == PAL_OK) status = trained_check_vocabulary(trained, evaluation.feed.dataset, data);
    if (status == PAL_OK) status = session_seal(&trained->session);
    if (status == PAL_OK) status = trained_load(trained);
    if (status == PAL_OK) {
        evaluation_start(&evaluation);
        whereabouts_enter(SECTION_EVALUATION);
        status = evaluation_run(&evaluation, arguments->losses, split_name(split), &result);
    }
    if (status == PAL_OK) {
        print_documents(&evaluation, &result);
        print_totals(&evaluation, &result);
        if (arguments->json) status = print_json(trained, &evaluation, &result);
    }
    evaluation_destroy(&evaluation);
    return status;
}

Status command_evaluate(const Command *command, Grid *grid, int argc, char **argv)
{
    EvaluateArguments arguments = {.split = "test", .rows = 8};
    const Option options[] = {
        {"data", OPTION_TEXT, &arguments.data, "data.h5", "data file (default: that of training)"},
        {"split", OPTION_TEXT, &arguments.split, "NAME", "train, validation or test (default)"},
        {"set", OPTION_LIST, &arguments.sets, "SECTION.KEY=VALUE",
         "e.g. model.memory, model.compressed_memory, model.window"},
        {"losses", OPTION_TEXT, &arguments.losses, "FILE.h5",
         "nats of every token, /documents/NAME/nats"},
        {"rows", OPTION_INTEGER, &arguments.rows, "N",
         "at most so many documents side by side on each rank (default 8)"},
        {"json", OPTION_FLAG, &arguments.json, NULL, "last line: the totals as a JSON object"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 6, argc, argv, &arguments.checkpoint, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    if (arguments.rows < 1 || arguments.rows > 65536)
        PAL_FAIL(PAL_ERROR_USAGE, "evaluate: --rows is 1 to 65536");

    Trained trained;
    Status status = trained_open(&trained, grid, arguments.checkpoint, &arguments.sets);
    if (status == PAL_OK) watchdog_know(&trained.session.config.watchdog, grid, NULL);
    if (status == PAL_OK) status = evaluate(&trained, &arguments);
    trained_close(&trained);
    return status;
}
