/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/sweep.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/run/plot.h"
#include "src/run/report.h"

static const char *const keys[] = {"compressed_memory", "memory", "window"};

static Status parse_values(Sweep *sweep, const char *text, const char *at)
{
    char *end = NULL;
    do {
        errno = 0;
        long value = strtol(at, &end, 10);
        bool ends_well = end != at && (*end == ',' || *end == '\0') && errno == 0;
        if (!ends_well || value < 0 || value > INT_MAX || sweep->count == MOST_SIZES)
            PAL_FAIL(PAL_ERROR_USAGE,
                     "evaluate: --sweep %.100s: expected 1 to %d sizes like %s=256,512,1024", text,
                     MOST_SIZES, sweep->key);
        for (int i = 0; i < sweep->count; i++)
            if (sweep->values[i] == value)
                PAL_FAIL(PAL_ERROR_USAGE, "evaluate: --sweep %.100s: %ld stands there twice", text,
                         value);
        sweep->values[sweep->count++] = (int)value;
        at = end + 1;
    } while (*end == ',');
    return PAL_OK;
}

Status sweep_parse(Sweep *sweep, const char *text)
{
    const char *name = strncmp(text, "model.", 6) == 0 ? text + 6 : text;
    *sweep = (Sweep){0};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t length = strlen(keys[i]);
        if (strncmp(name, keys[i], length) != 0 || name[length] != '=') continue;
        sweep->key = keys[i];
        return parse_values(sweep, text, name + length + 1);
    }
    PAL_FAIL(PAL_ERROR_USAGE,
             "evaluate: --sweep %.100s: expected compressed_memory=, memory= or window= and sizes, "
             "e.g. compressed_memory=256,512,1024",
             text);
}

Status sweep_check(Sweep *sweep, const Trained *trained, const TextList *sets)
{
    size_t count = checked_size(sweep->count);
    sweep->options = fatal_calloc(count, sizeof *sweep->options, "the sizes of a sweep");
    sweep->results = fatal_calloc(count, sizeof *sweep->results, "the results of a sweep");
    for (int i = 0; i < sweep->count; i++) {
        char assignment[64], message[1024];
        snprintf(assignment, sizeof assignment, "model.%s=%d", sweep->key, sweep->values[i]);
        Status status = trained_try(trained, sets, assignment, &sweep->options[i]);
        if (status == PAL_OK) continue;
        snprintf(message, sizeof message, "%s", status_message());
        PAL_FAIL(status, "evaluate: --sweep %s: %d cannot be: %s", sweep->key, sweep->values[i],
                 message);
    }
    return PAL_OK;
}

static Status run_one(Sweep *sweep, int i, Trained *trained, Evaluation *evaluation)
{
    Session *session = &trained->session;
    Arena *arena = NULL;
    char label[64];
    snprintf(label, sizeof label, "%s %s=%d", split_name(evaluation->split), sweep->key,
             sweep->values[i]);
    session->config.model = sweep->options[i];
    PAL_TRY(group_agree(&session->grid->world, arena_create(&arena, session->device)));
    Status status = evaluation_build(evaluation, arena, &trained->parameters);
    if (status == PAL_OK) status = group_agree(&session->grid->world, arena_seal(arena));
    if (status == PAL_OK) {
        evaluation_start(evaluation);
        status = evaluation_run(evaluation, NULL, label, &sweep->results[i]);
    }
    arena_destroy(&arena);
    return status;
}

/* compressed_memory    nats/token     bits/byte      word ppl    seconds */
static void print_table(const Sweep *sweep)
{
    char words[80];
    log_info("%-18s %12s %12s %14s %10s", sweep->key, "nats/token", "bits/byte", "word ppl",
             "seconds");
    for (int i = 0; i < sweep->count; i++) {
        const EvaluationResult *result = &sweep->results[i];
        log_info("%-18d %12.4f %12.4f %14.2f %10.1f", sweep->values[i],
                 result->nats / (double)result->tokens, evaluation_bits_per_byte(result),
                 evaluation_word_perplexity(result), result->seconds);
    }
    log_info("words: %lld (%s)", (long long)sweep->results[0].words,
             evaluation_words_text(&sweep->results[0], words));
}

Status sweep_run(Sweep *sweep, Trained *trained, Evaluation *evaluation)
{
    for (int i = 0; i < sweep->count; i++) {
        PAL_TRY(run_one(sweep, i, trained, evaluation));
        sweep->results[i].document_nats = NULL;
        sweep->done = i + 1;
        log_info("%s = %d: %.4f nats/token, %.4f bits per byte", sweep->key, sweep->values[i],
                 sweep->results[i].nats / (double)sweep->results[i].tokens,
                 evaluation_bits_per_byte(&sweep->results[i]));
    }
    print_table(sweep);
    return PAL_OK;
}

static Status json_of(const Sweep *sweep, int i, const Trained *trained, const char *data,
                      char **line)
{
    const EvaluationOrigin origin = trained_origin(trained, data, &sweep->options[i]);
    return evaluation_json(&sweep->results[i], &origin, sweep->key, sweep->values[i], line);
}

Status sweep_print_json(const Sweep *sweep, const Trained *trained, const char *data)
{
    for (int i = 0; i < sweep->done; i++) {
        char *line = NULL;
        PAL_TRY(json_of(sweep, i, trained, data, &line));
        log_info("%s", line);
        free(line);
    }
    return PAL_OK;
}

/* --- report ------------------------------------------------------------------------------------ */

/* Where targets are bytes their bits are the usual number, else the perplexity of words. */
static void plot_sizes(JsonText *script, const Sweep *sweep)
{
    bool bytes = strcmp(evaluation_targets(sweep->results[0].dataset), "bytes") == 0;
    plot_begin(script, "sweep", COLUMN_WIDTH, PLOT_HEIGHT);
    plot_line(script, "set xlabel \"%s\"",
              strcmp(sweep->key, "window") == 0   ? "window (tokens)"
              : strcmp(sweep->key, "memory") == 0 ? "memory (slots per layer)"
                                                  : "compressed memory (slots per layer)");
    plot_line(script, "set ylabel \"%s\"", bytes ? "bits per byte" : "word-level perplexity");
    plot_line(script, "set autoscale xfix");
    plot_line(script, "set offsets graph 0.05, graph 0.05, graph 0.1, graph 0.1");
    if (sweep->count == 1) { /* a range of its own for a single point */
        plot_line(script, "set xrange [%d:%d]", sweep->values[0] - 1, sweep->values[0] + 1);
        plot_line(script, "set yrange [0:*]");
    }
    plot_line(script,
              "plot \"sweep.csv\" skip 1 using 2:%d smooth unique with linespoints linetype 1",
              bytes ? 7 : 10);
}

static void fill_table(Table *table, const Sweep *sweep)
{
    char sizes[3 * SIZES_TEXT];
    for (int i = 0; i < sweep->count; i++) {
        const EvaluationResult *result = &sweep->results[i];
        table_text(table, sweep->key);
        table_integer(table, sweep->values[i]);
        table_integer(table, model_temporal_range(&sweep->options[i]));
        table_integer(table, result->tokens);
        table_number(table, result->nats);
        table_number(table, result->nats / (double)result->tokens);
        table_number(table, evaluation_bits_per_byte(result));
        table_integer(table, result->words);
        table_text(table, evaluation_words_counted(result));
        table_number(table, evaluation_word_perplexity(result));
        table_number(table, result->seconds);
        evaluation_sizes_text(&sweep->options[i], sizes);
        table_text(table, sizes);
    }
}

/* For summary.json: the objects of sweep_print_json, as a list. */
static Status list_results(const Sweep *sweep, const Trained *trained, const char *data,
                           JsonText *list)
{
    for (int i = 0; i < sweep->count; i++) {
        char *line = NULL;
        PAL_TRY(json_of(sweep, i, trained, data, &line));
        json_append(list, i == 0 ? "[" : ",\n ");
        json_append(list, line);
        free(line);
    }
    json_append(list, "]");
    return PAL_OK;
}

Status sweep_report(const Sweep *sweep, const Trained *trained, const char *data,
                    const char *folder)
{
    static const char *const columns[] = {
        "key",           "value", "temporal_range", "tokens",          "nats",    "nats_per_token",
        "bits_per_byte", "words", "words_counted",  "word_perplexity", "seconds", "model"};
    static const char *const facts[] = {"what", "value"};
    char words[80], update[32];
    JsonText list = {0};
    Report report = {.title = "palimpsest: evaluation with several sizes"};
    evaluation_protocol_text(&sweep->results[0], report.protocol, sizeof report.protocol);
    table_create(&report.facts, "facts", facts, 2);
    snprintf(update, sizeof update, "%lld", (long long)trained->update);
    const char *const texts[] = {"checkpoint",    trained->path,
                                 "update",        update,
                                 "trained with",  trained->trained_with,
                                 "data file",     data,
                                 "split",         split_name(sweep->results[0].split),
                                 "words counted", evaluation_words_text(&sweep->results[0], words)};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) table_text(&report.facts, texts[i]);
    ReportSection *section = report_section(&report, "Sizes");
    snprintf(section->text, sizeof section->text,
             "The same weights with other values of model.%s. The temporal range is the sum of "
             "memory and rate x compressed memory over the layers.",
             sweep->key);
    table_create(&section->table, "sweep", columns, 12);
    fill_table(&section->table, sweep);
    plot_sizes(&section->script, sweep);
    Status status = list_results(sweep, trained, data, &list);
    report.summary = list.text;
    if (status == PAL_OK) status = report_write(&report, folder);
    report_destroy(&report);
    free(list.text);
    return status;
}

void sweep_destroy(Sweep *sweep)
{
    free(sweep->options);
    free(sweep->results);
    *sweep = (Sweep){0};
}
