/* SPDX-License-Identifier: Apache-2.0
 *
 * What a report says of the model itself: attention by age and compression loss, by layer.
 */
#include <stdio.h>

#include "src/run/plot.h"
#include "src/run/report_measures.h"

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
static void attention_rows(Table *table, const char *name, const char *protocol,
                           const AttentionSums *sums, const ModelOptions *o, int first, int count)
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
            table_text(table, protocol);
        }
    }
}

static void plot_attention(const Report *report, ReportSection *section, int layers)
{
    JsonText *script = report_plot(report, section, COLUMN_WIDTH, PLOT_HEIGHT + 40);
    plot_line(script, "set ylabel \"attention weight in the bucket\"");
    plot_line(script, "set xlabel \"oldest first: six buckets each\"");
    plot_line(script, "set xrange [0.3:18.7]");
    plot_line(script, "set yrange [0:*]");
    plot_line(script,
              "set xtics scale 0 (\"compressed memory\" 3.5, \"memory\" 9.5, \"window\" 15.5)");
    plot_line(script, "set key outside top center horizontal samplen 2");
    plot_line(script, "set arrow from 6.5, graph 0 to 6.5, graph 1 nohead linetype 3 linewidth 1");
    plot_line(script,
              "set arrow from 12.5, graph 0 to 12.5, graph 1 nohead linetype 3 linewidth 1");
    plot_line(script, "set boxwidth 0.8");
    plot_line(script, "set style fill solid 0.35 noborder");
    plot_line(script, "set bars 0.6");
    plot_line(script, "of(name, value) = stringcolumn(1) eq name ? value : NaN");
    plot_line(script,
              "plot \"attention.csv\" skip 1 using 4:(of(\"mean\", $7)):8 with boxerrorbars "
              "linetype 1 linewidth 1.5 title \"mean, +- 1 deviation\", \\");
    plot_line(script,
              "     for [l=0:%d] \"\" skip 1 using 4:(of(sprintf(\"%%d\", l), $7)) with lines "
              "linecolor rgb \"#c2571a\" linewidth 1 "
              "title (l == 0 ? \"each layer\" : \"\")",
              layers - 1);
}

void report_attention(Report *report, const Measures *measures)
{
    static const char *const columns[] = {"layer",      "segment", "bucket",  "position",
                                          "first_slot", "slots",   "mean",    "deviation",
                                          "samples",    "queries", "protocol"};
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
    table_create(&section->table, "attention", columns, 11);
    for (int l = 0; l < o->layers; l++) {
        snprintf(name, sizeof name, "%d", l);
        attention_rows(&section->table, name, report->protocol_name, &sums[l], o, l, 1);
    }
    attention_rows(&section->table, "mean", report->protocol_name, &sums[o->layers], o, 0,
                   o->layers);
    plot_attention(report, section, o->layers);
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

static void plot_compression(const Report *report, ReportSection *section, const char *text,
                             int layers)
{
    JsonText *script = report_plot(report, section, COLUMN_WIDTH, PLOT_HEIGHT);
    plot_line(script, "set xlabel \"layer (%s)\"", text);
    plot_line(script, "set ylabel \"compression loss (mean square)\"");
    plot_line(script, "set xrange [-0.5:%d.5]", layers - 1);
    plot_line(script, "set yrange [0:*]");
    plot_line(script, "set xtics %d", layers > 16 ? 4 : 1);
    plot_line(script, "plot \"compression.csv\" skip 1 using 1:3 with linespoints linetype 1");
}

void report_compression(Report *report, const Measures *measures)
{
    static const char *const columns[] = {"layer", "compression_loss", "loss", "sum",
                                          "terms", "protocol"};
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
    table_create(&section->table, "compression", columns, 6);
    for (int l = 0; l < o->layers; l++) {
        const LossSum *sum = &measures->compression[l];
        if (sum->count == 0.0) continue;
        table_integer(&section->table, l);
        table_text(&section->table, losses[kind].name);
        table_number(&section->table, sum->sum / sum->count);
        table_number(&section->table, sum->sum);
        table_integer(&section->table, (int64_t)sum->count);
        table_text(&section->table, report->protocol_name);
    }
    plot_compression(report, section, losses[kind].text, o->layers);
}
