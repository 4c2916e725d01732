/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/report_measures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "src/run/plot.h"

enum { MOST_NAMED = 40, NAMED_HEIGHT = 18 };

/* --- facts ------------------------------------------------------------------------------------- */

static void fact_text(Table *facts, const char *name, const char *value)
{
    table_text(facts, name);
    table_text(facts, value);
}

static void fact_integer(Table *facts, const char *name, int64_t value)
{
    table_text(facts, name);
    table_integer(facts, value);
}

static void fact_number(Table *facts, const char *name, double value)
{
    table_text(facts, name);
    table_number(facts, value);
}

static void add_facts(Report *report, const EvaluationResult *result,
                      const EvaluationOrigin *origin)
{
    static const char *const columns[] = {"what", "value"};
    Table *facts = &report->facts;
    char words[80], sizes[3 * SIZES_TEXT], name[64];
    const char *dynamic = result->is_dynamic ? "dynamic evaluation: " : "";
    evaluation_sizes_text(origin->model, sizes);
    table_create(facts, "facts", columns, 2);
    fact_text(facts, "checkpoint", origin->checkpoint);
    fact_integer(facts, "update", origin->update);
    fact_text(facts, "trained with", origin->trained_with);
    fact_text(facts, "data file", origin->data);
    fact_text(facts, "split", split_name(result->split));
    fact_text(facts, "model", sizes);
    fact_integer(facts, "tokens", result->tokens);
    fact_integer(facts, "bytes", result->bytes);
    fact_integer(facts, "words", result->words);
    fact_text(facts, "words counted", evaluation_words_text(result, words));
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"nats", result->nats},
        {"nats per token", result->nats / (double)result->tokens},
        {"bits per byte", evaluation_bits_per_byte(result)},
        {"word-level perplexity", evaluation_word_perplexity(result)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(name, sizeof name, "%s%s", dynamic, numbers[i].name);
        fact_number(facts, name, numbers[i].value);
    }
    fact_number(facts, "seconds", result->seconds);
}

/* --- documents --------------------------------------------------------------------------------- */

/* Names beside the points, or, where there are too many to be read, the easiest to the hardest. */
static void plot_documents(const Report *report, ReportSection *section,
                           const EvaluationResult *result, int64_t documents)
{
    double all = evaluation_bits_per_byte(result);
    bool named = documents <= MOST_NAMED;
    JsonText *script = report_plot(report, section, COLUMN_WIDTH,
                                   named ? 130 + NAMED_HEIGHT * (int)documents : PLOT_HEIGHT);
    plot_line(script, "all = %.17g", all);
    plot_line(script, "set key outside top center horizontal");
    if (named) {
        plot_line(script, "set xlabel \"bits per byte\"");
        plot_line(script, "set yrange [%lld.5:0.5]", (long long)documents);
        plot_line(script, "set grid noytics xtics linecolor rgb \"#dddddd\" linewidth 1");
        plot_line(script, "set offsets graph 0.05, graph 0.05, 0, 0");
        if (documents == 1) plot_line(script, "set xrange [0.95 * all:1.05 * all]");
        plot_line(script,
                  "set arrow from all, graph 0 to all, graph 1 nohead linetype 3 dashtype 2");
        plot_line(script, "plot \"documents.csv\" skip 1 "
                          "using 7:10:ytic(substr(stringcolumn(1), 1, 24)) with points linetype 1 "
                          "title \"document\", NaN with lines linetype 3 dashtype 2 "
                          "title sprintf(\"all: %%.3f\", all)");
    } else {
        plot_line(script, "set xlabel \"documents, from the easiest to the hardest\"");
        plot_line(script, "set ylabel \"bits per byte\"");
        plot_line(script, "set xrange [0:%lld]", (long long)documents + 1);
        plot_line(script, "plot \"documents.csv\" skip 1 using 10:7 with points linetype 1 "
                          "pointsize 0.5 title \"document\", all with lines linetype 3 dashtype 2 "
                          "title sprintf(\"all: %%.3f\", all)");
    }
}

static void add_documents(Report *report, const EvaluationResult *result)
{
    ReportSection *section = report_section(report, "Documents");
    int64_t documents = result->dataset->splits[result->split].documents;
    snprintf(section->text, sizeof section->text,
             "Each document is read from its first token to its last. Words of a document are "
             "always those between white space; rank 1 has the fewest bits per byte.");
    evaluation_documents_table(result, &section->table);
    plot_documents(report, section, result, documents);
}

/* --- frequency --------------------------------------------------------------------------------- */

static void frequency_row(Table *table, const EvaluationResult *result, const char *name,
                          int64_t types, double tokens, double nats)
{
    table_text(table, name);
    table_text(table, evaluation_targets(result->dataset));
    table_integer(table, types);
    table_integer(table, (int64_t)tokens);
    table_number(table, nats);
    table_number(table, nats / tokens);
    table_number(table, exp(nats / tokens));
    table_text(table, evaluation_protocol(result));
}

static void plot_frequency(const Report *report, ReportSection *section, const char *targets)
{
    JsonText *script = report_plot(report, section, COLUMN_WIDTH, PLOT_HEIGHT);
    plot_line(script, "set xlabel \"occurrences of the target in the training split\"");
    plot_line(script, "set ylabel \"perplexity per token (targets: %s)\"", targets);
    plot_line(script, "set logscale y");
    plot_line(script, "set yrange [1:*]");
    plot_line(script, "set offsets 0, 0, graph 0.12, 0");
    plot_line(script, "set xrange [-0.6:%d.6]", FREQUENCY_BUCKETS);
    plot_line(script, "set xtics scale 0");
    for (int b = 0; b < FREQUENCY_BUCKETS; b++)
        plot_line(script, "set xtics add (\"%s\" %d)", frequency_buckets[b].name, b);
    plot_line(script, "set xtics add (\"all\" %d)", FREQUENCY_BUCKETS);
    plot_line(script, "set boxwidth 0.6");
    plot_line(script, "set style fill solid 0.85 noborder");
    plot_line(script, "plot \"frequency.csv\" skip 1 using 0:7 with boxes linetype 1, "
                      "\"\" skip 1 using 0:7:(sprintf(\"%%.4g\", $7)) with labels offset 0,0.6");
}

static void add_frequency(Report *report, const EvaluationResult *result, const Measures *measures)
{
    static const char *const columns[] = {"training_count", "targets", "vocabulary",
                                          "tokens",         "nats",    "nats_per_token",
                                          "perplexity",     "protocol"};
    ReportSection *section = report_section(report, "Frequency of the target");
    const Frequency *frequency = &measures->frequency;
    const char *targets = evaluation_targets(result->dataset);
    int64_t types = 0;
    if (!measures->has_frequency) {
        snprintf(section->text, sizeof section->text,
                 "Not measured: the data file does not say how often each token occurs in the "
                 "training split: it has no training split, or is of an earlier version, without "
                 "/tokenizer/counts. Prepare the text together with that of training.");
        return;
    }
    snprintf(section->text, sizeof section->text,
             "Perplexity by how often the target occurs in the training split of the data file. "
             "Targets are %s. "
             "Tokens and nats of the buckets add up to those of all.",
             targets);
    table_create(&section->table, "frequency", columns, 8);
    for (int b = 0; b < FREQUENCY_BUCKETS; b++) {
        frequency_row(&section->table, result, frequency_buckets[b].name, frequency->types[b],
                      frequency->tokens[b], frequency->nats[b]);
        types += frequency->types[b];
    }
    frequency_row(&section->table, result, "all", types, (double)result->tokens, result->nats);
    plot_frequency(report, section, targets);
}

void report_evaluation(Report *report, const EvaluationResult *result, const Measures *measures,
                       const EvaluationOrigin *origin)
{
    report->title =
        result->is_dynamic ? "palimpsest: DYNAMIC EVALUATION" : "palimpsest: evaluation";
    evaluation_protocol_text(result, report->protocol, sizeof report->protocol);
    report->protocol_name = evaluation_protocol(result);
    report->plot_title = result->is_dynamic ? "dynamic evaluation" : NULL;
    add_facts(report, result, origin);
    add_documents(report, result);
    add_frequency(report, result, measures);
    report_attention(report, measures);
    report_compression(report, measures);
}
