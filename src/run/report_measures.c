/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/report_measures.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "src/run/plot.h"

enum { COLUMN_WIDTH = 480, PLOT_HEIGHT = 300, MOST_NAMED = 40, NAMED_HEIGHT = 18 };

/* Appends a line of a script, formatted. */
__attribute__((format(printf, 2, 3))) static void line(JsonText *script, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_append(script, text);
    json_append(script, "\n");
}

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

static void sizes_text(const ModelOptions *o, char *text, size_t size)
{
    bool same = true;
    for (int l = 1; l < o->layers; l++)
        same = same && o->memory[l] == o->memory[0] &&
               o->compressed_memory[l] == o->compressed_memory[0];
    if (same)
        snprintf(text, size, "window %d, memory %d, compressed memory %d at rate %d", o->window,
                 o->memory[0], o->compressed_memory[0], o->compression_rate);
    else
        snprintf(text, size, "window %d, memory and compressed memory by layer, rate %d", o->window,
                 o->compression_rate);
}

static void add_facts(Report *report, const EvaluationResult *result, const ModelOptions *options,
                      const char *checkpoint, int64_t update, const char *data)
{
    static const char *const columns[] = {"what", "value"};
    Table *facts = &report->facts;
    char words[80], sizes[160], name[64];
    const char *dynamic = result->is_dynamic ? "dynamic evaluation: " : "";
    sizes_text(options, sizes, sizeof sizes);
    table_create(facts, "facts", columns, 2);
    fact_text(facts, "checkpoint", checkpoint);
    fact_integer(facts, "update", update);
    fact_text(facts, "data file", data);
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
static void plot_documents(JsonText *script, const EvaluationResult *result, int64_t documents)
{
    double all = evaluation_bits_per_byte(result);
    bool named = documents <= MOST_NAMED;
    plot_begin(script, "documents", COLUMN_WIDTH,
               named ? 90 + NAMED_HEIGHT * (int)documents : PLOT_HEIGHT);
    line(script, "all = %.17g", all);
    line(script, "set key outside top center horizontal");
    if (named) {
        line(script, "set xlabel \"bits per byte\"");
        line(script, "set yrange [%lld.5:0.5]", (long long)documents);
        line(script, "set grid noytics xtics linecolor rgb \"#dddddd\" linewidth 1");
        line(script, "set offsets graph 0.05, graph 0.05, 0, 0");
        line(script, "set arrow from all, graph 0 to all, graph 1 nohead linetype 3 dashtype 2");
        line(script, "plot \"documents.csv\" skip 1 "
                     "using 7:10:ytic(substr(stringcolumn(1), 1, 24)) with points linetype 1 "
                     "title \"document\", NaN with lines linetype 3 dashtype 2 "
                     "title sprintf(\"all: %%.3f\", all)");
    } else {
        line(script, "set xlabel \"documents, from the easiest to the hardest\"");
        line(script, "set ylabel \"bits per byte\"");
        line(script, "set xrange [0:%lld]", (long long)documents + 1);
        line(script, "plot \"documents.csv\" skip 1 using 10:7 with points linetype 1 "
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
    plot_documents(&section->script, result, documents);
}

/* --- frequency --------------------------------------------------------------------------------- */

static void frequency_row(Table *table, const char *name, const char *targets, int64_t types,
                          double tokens, double nats)
{
    table_text(table, name);
    table_text(table, targets);
    table_integer(table, types);
    table_integer(table, (int64_t)tokens);
    table_number(table, nats);
    table_number(table, nats / tokens);
    table_number(table, exp(nats / tokens));
}

static void plot_frequency(JsonText *script, const char *targets)
{
    plot_begin(script, "frequency", COLUMN_WIDTH, PLOT_HEIGHT);
    line(script, "set xlabel \"occurrences of the target in the training split\"");
    line(script, "set ylabel \"perplexity per token (targets: %s)\"", targets);
    line(script, "set logscale y");
    line(script, "set yrange [1:*]");
    line(script, "set offsets 0, 0, graph 0.12, 0");
    line(script, "set xrange [-0.6:%d.6]", FREQUENCY_BUCKETS);
    line(script, "set xtics scale 0");
    for (int b = 0; b < FREQUENCY_BUCKETS; b++)
        line(script, "set xtics add (\"%s\" %d)", frequency_buckets[b].name, b);
    line(script, "set xtics add (\"all\" %d)", FREQUENCY_BUCKETS);
    line(script, "set boxwidth 0.6");
    line(script, "set style fill solid 0.85 noborder");
    line(script, "plot \"frequency.csv\" skip 1 using 0:7 with boxes linetype 1, "
                 "\"\" skip 1 using 0:7:(sprintf(\"%%.4g\", $7)) with labels offset 0,0.6");
}

static void add_frequency(Report *report, const EvaluationResult *result, const Measures *measures)
{
    static const char *const columns[] = {"training_count", "targets", "vocabulary",
                                          "tokens",         "nats",    "nats_per_token",
                                          "perplexity"};
    ReportSection *section = report_section(report, "Frequency of the target");
    const Frequency *frequency = &measures->frequency;
    const char *targets = evaluation_targets(result->dataset);
    int64_t types = 0;
    if (!measures->has_frequency) {
        snprintf(section->text, sizeof section->text,
                 "Not measured: the data file does not say how often each token occurs in the "
                 "training split (/tokenizer/counts). It is of an earlier version; prepare the "
                 "data again.");
        return;
    }
    snprintf(section->text, sizeof section->text,
             "Perplexity by how often the target occurs in the training split. Targets are %s. "
             "Tokens and nats of the buckets add up to those of all.",
             targets);
    table_create(&section->table, "frequency", columns, 7);
    for (int b = 0; b < FREQUENCY_BUCKETS; b++) {
        frequency_row(&section->table, frequency_buckets[b].name, targets, frequency->types[b],
                      frequency->tokens[b], frequency->nats[b]);
        types += frequency->types[b];
    }
    frequency_row(&section->table, "all", targets, types, (double)result->tokens, result->nats);
    plot_frequency(&section->script, targets);
}

/* --- attention --------------------------------------------------------------------------------- */

static int64_t segment_slots(const ModelOptions *o, int layer, int segment)
{
    const int64_t slots[SOURCE_COUNT] = {[SOURCE_COMPRESSED] = o->compressed_memory[layer],
                                         [SOURCE_MEMORY] = o->memory[layer],
                                         [SOURCE_WINDOW] = o->window};
    return slots[segment];
}

/* Whether any of these layers has the segment, and whether all have it alike. */
static bool segment_in(const ModelOptions *o, int first, int count, int segment, bool *alike)
{
    bool any = false;
    *alike = true;
    for (int l = first; l < first + count; l++) {
        any = any || segment_slots(o, l, segment) > 0;
        *alike = *alike && segment_slots(o, l, segment) == segment_slots(o, first, segment);
    }
    return any;
}

/* The rows of one layer, or (count > 1) of the mean over layers. */
static void attention_rows(Table *table, const char *name, const AttentionSums *sums,
                           const ModelOptions *o, int first, int count)
{
    for (int s = 0; s < SOURCE_COUNT && sums->samples > 0.0; s++) {
        bool alike;
        if (!segment_in(o, first, count, s, &alike)) continue;
        for (int b = 0; b < SEGMENT_BUCKETS; b++) {
            int value = s * SEGMENT_BUCKETS + b;
            Range slots = attention_bucket_slots(segment_slots(o, first, s), b);
            table_text(table, name);
            table_text(table, attention_segment_name((SourceKind)s));
            table_integer(table, b + 1);
            table_integer(table, value + 1);
            if (alike) table_integer(table, slots.first);
            if (alike) table_integer(table, slots.count);
            if (!alike) table_empty(table);
            if (!alike) table_empty(table);
            table_number(table, attention_sums_mean(sums, value));
            table_number(table, attention_sums_deviation(sums, value));
            table_integer(table, (int64_t)sums->samples);
            table_integer(table, (int64_t)sums->queries);
        }
    }
}

static void plot_attention(JsonText *script, int layers)
{
    plot_begin(script, "attention", COLUMN_WIDTH, PLOT_HEIGHT + 40);
    line(script, "set ylabel \"attention weight in the bucket\"");
    line(script, "set xlabel \"oldest first: six buckets each\"");
    line(script, "set xrange [0.3:18.7]");
    line(script, "set yrange [0:*]");
    line(script, "set xtics scale 0 (\"compressed memory\" 3.5, \"memory\" 9.5, \"window\" 15.5)");
    line(script, "set key outside top center horizontal samplen 2");
    line(script, "set arrow from 6.5, graph 0 to 6.5, graph 1 nohead linetype 3 linewidth 1");
    line(script, "set arrow from 12.5, graph 0 to 12.5, graph 1 nohead linetype 3 linewidth 1");
    line(script, "set boxwidth 0.8");
    line(script, "set style fill solid 0.35 noborder");
    line(script, "set bars 0.6");
    line(script, "of(name, value) = stringcolumn(1) eq name ? value : NaN");
    line(script, "plot \"attention.csv\" skip 1 using 4:(of(\"mean\", $7)):8 with boxerrorbars "
                 "linetype 1 linewidth 1.5 title \"mean, +- 1 deviation\", \\");
    line(script,
         "     for [l=0:%d] \"\" skip 1 using 4:(of(sprintf(\"%%d\", l), $7)) with lines "
         "linecolor rgb \"#c2571a\" linewidth 1 "
         "title (l == 0 ? \"each layer\" : \"\")",
         layers - 1);
}

static void add_attention(Report *report, const Measures *measures)
{
    static const char *const columns[] = {"layer", "segment", "bucket",    "position", "first_slot",
                                          "slots", "mean",    "deviation", "samples",  "queries"};
    ReportSection *section = report_section(report, "Attention");
    const ModelOptions *o = &measures->model->options;
    const AttentionSums *sums = measures->attention.sums;
    double samples = 0.0;
    char name[16];
    for (int l = 0; l < o->layers; l++) samples += sums[l].samples;
    if (samples == 0.0) {
        snprintf(section->text, sizeof section->text,
                 "Not measured: in no window were a row's memories full; the documents are too "
                 "short for these sizes.");
        return;
    }
    snprintf(section->text, sizeof section->text,
             "Attention weight by age, before dropout: mean over rows, heads and counted queries, "
             "sum over the slots of a bucket. Only rows whose memories are full count: samples "
             "says how many (row, window) pairs these are. The deviation is that over samples. "
             "The buckets of a layer add up to 1; where slots do not divide by six the first "
             "buckets have one more.");
    table_create(&section->table, "attention", columns, 10);
    for (int l = 0; l < o->layers; l++) {
        snprintf(name, sizeof name, "%d", l);
        attention_rows(&section->table, name, &sums[l], o, l, 1);
    }
    attention_rows(&section->table, "mean", &sums[o->layers], o, 0, o->layers);
    plot_attention(&section->script, o->layers);
}

/* --- compression ------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text, *none;
} losses[] = {
    [COMPRESSION_LOSS_NONE] = {"none", "", "model.compression_loss is none"},
    [COMPRESSION_LOSS_ATTENTION] = {"attention", "attention reconstruction", NULL},
    [COMPRESSION_LOSS_AUTOENCODING] = {"autoencoding", "auto-encoding", NULL},
    [COMPRESSION_LOSS_TASK] = {"task", "",
                               "model.compression_loss is task, which has no loss of "
                               "its own for a layer"},
};

static void plot_compression(JsonText *script, const char *text, int layers)
{
    plot_begin(script, "compression", COLUMN_WIDTH, PLOT_HEIGHT);
    line(script, "set xlabel \"layer (%s)\"", text);
    line(script, "set ylabel \"compression loss (mean square)\"");
    line(script, "set xrange [-0.5:%d.5]", layers - 1);
    line(script, "set yrange [0:*]");
    line(script, "set xtics %d", layers > 16 ? 4 : 1);
    line(script, "plot \"compression.csv\" skip 1 using 1:3 with linespoints linetype 1");
}

static void add_compression(Report *report, const Measures *measures)
{
    static const char *const columns[] = {"layer", "compression_loss", "loss", "sum", "terms"};
    ReportSection *section = report_section(report, "Compression");
    const ModelOptions *o = &measures->model->options;
    CompressionLossKind kind = o->compression_loss;
    double terms = 0.0;
    for (int l = 0; l < o->layers; l++) terms += measures->compression[l].count;
    if (terms == 0.0) {
        snprintf(section->text, sizeof section->text, "Not measured: %s.",
                 model_compressing_layers(o) == 0 ? "no layer has compressed memory"
                 : losses[kind].none != NULL
                     ? losses[kind].none
                     : "no window compressed anything that counts; the documents are too short");
        return;
    }
    snprintf(section->text, sizeof section->text,
             "The %s loss of each layer that compresses: the mean of squares over all windows of "
             "the split, as in training.",
             losses[kind].text);
    table_create(&section->table, "compression", columns, 5);
    for (int l = 0; l < o->layers; l++) {
        const LossSum *sum = &measures->compression[l];
        if (sum->count == 0.0) continue;
        table_integer(&section->table, l);
        table_text(&section->table, losses[kind].name);
        table_number(&section->table, sum->sum / sum->count);
        table_number(&section->table, sum->sum);
        table_integer(&section->table, (int64_t)sum->count);
    }
    plot_compression(&section->script, losses[kind].text, o->layers);
}

void report_evaluation(Report *report, const EvaluationResult *result, const Measures *measures,
                       const char *checkpoint, int64_t update, const char *data)
{
    report->title =
        result->is_dynamic ? "palimpsest: DYNAMIC EVALUATION" : "palimpsest: evaluation";
    evaluation_protocol_text(result, report->protocol, sizeof report->protocol);
    add_facts(report, result, &measures->model->options, checkpoint, update, data);
    add_documents(report, result);
    add_frequency(report, result, measures);
    add_attention(report, measures);
    add_compression(report, measures);
}
