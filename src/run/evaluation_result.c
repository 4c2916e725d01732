/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/evaluation_result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/log.h"

static const struct {
    const char *name, *text;
} data_sets[] = {{"pg19", "PG-19"}, {"wikitext-103", "WikiText-103"}, {"enwik8", "Enwik8"}};

static const struct {
    const char *tokenizer, *targets;
} tokenizers[] = {{"bytes", "bytes"}, {"words", "words"}, {"sentencepiece", "subwords"}};

Status evaluation_check_split(const Dataset *dataset, Split s, const char *path)
{
    const DataSplit *split = &dataset->splits[s];
    if (split->tokens == 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: the %s split has no %s", path, split_name(s),
                 split->documents == 0 ? "documents" : "tokens; all its documents are empty");
    return PAL_OK;
}

EvaluationResult evaluation_result(const Dataset *dataset, Split s, const double *document_nats)
{
    const DataSplit *split = &dataset->splits[s];
    EvaluationResult result = {.dataset = dataset,
                               .split = s,
                               .tokens = split->tokens,
                               .bytes = split->total_bytes,
                               .words = split->total_words,
                               .document_nats = document_nats};
    for (int64_t d = 0; d < split->documents; d++) result.nats += document_nats[d];
    if (split->published_words > 0) {
        result.words = split->published_words;
        result.words_published = true;
    }
    return result;
}

double evaluation_bits_per_byte(const EvaluationResult *result)
{
    return result->nats / log(2.0) / (double)result->bytes;
}

double evaluation_word_perplexity(const EvaluationResult *result)
{
    return exp(result->nats / (double)result->words);
}

const char *evaluation_words_counted(const EvaluationResult *result)
{
    return result->words_published ? "published" : "white space";
}

const char *evaluation_words_text(const EvaluationResult *result, char text[80])
{
    const char *name = result->dataset->name;
    for (size_t i = 0; i < sizeof data_sets / sizeof *data_sets; i++)
        if (strcmp(name, data_sets[i].name) == 0) name = data_sets[i].text;
    if (result->words_published)
        snprintf(text, 80, "published count of %.40s", name);
    else
        snprintf(text, 80, "counted by white space");
    return text;
}

const char *evaluation_targets(const Dataset *dataset)
{
    for (size_t i = 0; i < sizeof tokenizers / sizeof *tokenizers; i++)
        if (strcmp(dataset->tokenizer.kind, tokenizers[i].tokenizer) == 0)
            return tokenizers[i].targets;
    return dataset->tokenizer.kind;
}

const char *evaluation_protocol(const EvaluationResult *result)
{
    return result->is_dynamic ? "dynamic" : "plain";
}

void evaluation_protocol_text(const EvaluationResult *result, char *text, size_t size)
{
    const DynamicProtocol *dynamic = &result->dynamic;
    char skipped[64] = "";
    if (dynamic->skipped > 0)
        snprintf(skipped, sizeof skipped, ", %lld more skipped", (long long)dynamic->skipped);
    if (!result->is_dynamic)
        snprintf(text, size,
                 "plain evaluation: the weights are those of the checkpoint throughout");
    else
        snprintf(
            text, size,
            "DYNAMIC EVALUATION: weights were trained on the text before it was predicted, "
            "each window after its own prediction (%lld updates%s, of %d window%s of %d row%s, "
            "Adam from zero moments at a constant rate of %g); not to be compared with plain "
            "numbers",
            (long long)dynamic->updates, skipped, dynamic->windows,
            dynamic->windows == 1 ? "" : "s", dynamic->rows, dynamic->rows == 1 ? "" : "s",
            dynamic->rate);
}

static void report_number(Metrics *metrics, const EvaluationResult *result, const char *name,
                          double value)
{
    char own[64];
    snprintf(own, sizeof own, "%s%s", result->is_dynamic ? "dynamic_" : "", name);
    metrics_number(metrics, own, value);
}

void evaluation_report(Metrics *metrics, const EvaluationResult *result)
{
    metrics_text(metrics, "split", split_name(result->split));
    metrics_text(metrics, "protocol", evaluation_protocol(result));
    report_number(metrics, result, "loss", result->nats / (double)result->tokens);
    report_number(metrics, result, "nats", result->nats);
    metrics_integer(metrics, "tokens", result->tokens);
    metrics_integer(metrics, "bytes", result->bytes);
    metrics_integer(metrics, "words", result->words);
    metrics_text(metrics, "words_counted", evaluation_words_counted(result));
    report_number(metrics, result, "bits_per_byte", evaluation_bits_per_byte(result));
    report_number(metrics, result, "word_perplexity", evaluation_word_perplexity(result));
    if (result->is_dynamic) {
        metrics_integer(metrics, "dynamic_updates", result->dynamic.updates);
        metrics_integer(metrics, "dynamic_skipped", result->dynamic.skipped);
        metrics_integer(metrics, "dynamic_windows", result->dynamic.windows);
        metrics_integer(metrics, "dynamic_rows", result->dynamic.rows);
        metrics_number(metrics, "dynamic_rate", result->dynamic.rate);
    }
    metrics_number(metrics, "seconds", result->seconds);
    metrics_number(metrics, "tokens_per_second", (double)result->tokens / result->seconds);
}

/* "512", or one number a layer: "512,256,256". */
static void list_sizes(const int *sizes, int layers, char text[SIZES_TEXT])
{
    bool alike = true;
    for (int l = 1; l < layers; l++) alike = alike && sizes[l] == sizes[0];
    int used = snprintf(text, SIZES_TEXT, "%d", sizes[0]);
    for (int l = 1; l < layers && !alike && used < SIZES_TEXT; l++)
        used += snprintf(text + used, (size_t)(SIZES_TEXT - used), ",%d", sizes[l]);
}

void evaluation_sizes_text(const ModelOptions *o, char text[3 * SIZES_TEXT])
{
    char memory[SIZES_TEXT], compressed[SIZES_TEXT];
    list_sizes(o->memory, o->layers, memory);
    list_sizes(o->compressed_memory, o->layers, compressed);
    snprintf(text, (size_t)3 * SIZES_TEXT, "window %d, memory %s, compressed memory %s at rate %d",
             o->window, memory, compressed, o->compression_rate);
}

Status evaluation_json(const EvaluationResult *result, const EvaluationOrigin *origin,
                       const char *key, int64_t value, char **line)
{
    Metrics *metrics = NULL;
    char sizes[3 * SIZES_TEXT];
    evaluation_sizes_text(origin->model, sizes);
    PAL_TRY(metrics_open(&metrics, NULL));
    metrics_begin(metrics, "evaluate");
    metrics_text(metrics, "checkpoint", origin->checkpoint);
    metrics_integer(metrics, "update", origin->update);
    metrics_text(metrics, "data", origin->data);
    metrics_text(metrics, "model", sizes);
    if (key != NULL) metrics_integer(metrics, key, value);
    evaluation_report(metrics, result);
    Status status = metrics_end(metrics);
    *line = status == PAL_OK ? strdup(metrics_line(metrics)) : NULL;
    if (status == PAL_OK && *line == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "no memory for the totals");
    Status closed = metrics_close(&metrics);
    return status == PAL_OK ? closed : status;
}

/* --- documents --------------------------------------------------------------------------------- */

/* Of one document, whose words nobody has published. */
static EvaluationResult of_document(const EvaluationResult *result, int64_t d)
{
    const DataSplit *split = &result->dataset->splits[result->split];
    return (EvaluationResult){.dataset = result->dataset,
                              .nats = result->document_nats[d],
                              .tokens = split->offsets[d + 1] - split->offsets[d],
                              .bytes = split->bytes[d],
                              .words = split->words[d]};
}

static void print_documents(const EvaluationResult *result)
{
    const DataSplit *split = &result->dataset->splits[result->split];
    log_info("%-24s %12s %14s %12s %10s", "document", "tokens", "nats", "bits/byte", "word ppl");
    for (int64_t d = 0; d < split->documents; d++) {
        EvaluationResult one = of_document(result, d);
        if (one.tokens == 0) {
            log_info("%-24s %12d %14s %12s %10s", split->names[d], 0, "-", "-", "-");
            continue;
        }
        log_info("%-24s %12lld %14.2f %12.4f %10.2f", split->names[d], (long long)one.tokens,
                 one.nats, evaluation_bits_per_byte(&one), evaluation_word_perplexity(&one));
    }
}

void evaluation_print(const EvaluationResult *result, const char *path)
{
    const DataSplit *split = &result->dataset->splits[result->split];
    char words[80], protocol[512];
    if (result->is_dynamic) {
        evaluation_protocol_text(result, protocol, sizeof protocol);
        log_info("%s", protocol);
    }
    print_documents(result);
    log_info("%s, %s: %lld document%s, %lld tokens, %lld bytes, %lld words (%s)", path,
             split_name(result->split), (long long)split->documents,
             split->documents == 1 ? "" : "s", (long long)result->tokens, (long long)result->bytes,
             (long long)result->words, evaluation_words_text(result, words));
    log_info("%s %.2f nats, %.4f nats/token, %.4f bits per byte, word-level perplexity %.2f",
             result->is_dynamic ? "DYNAMIC EVALUATION, total" : "total", result->nats,
             result->nats / (double)result->tokens, evaluation_bits_per_byte(result),
             evaluation_word_perplexity(result));
    log_info("%.1f s, %.0f tokens/s", result->seconds, (double)result->tokens / result->seconds);
}

typedef struct Ranked {
    double bits;
    int64_t document;
} Ranked;

static int easier_first(const void *left, const void *right)
{
    const Ranked *a = left, *b = right;
    if (a->bits != b->bits) return a->bits < b->bits ? -1 : 1;
    return a->document < b->document ? -1 : 1;
}

/* rank[d]: 1 for the document with the fewest bits per byte. NULL: no memory. */
static int64_t *rank_documents(const EvaluationResult *result, int64_t documents)
{
    size_t count = checked_size(documents);
    Ranked *ranked = malloc(count * sizeof *ranked);
    int64_t *rank = malloc(count * sizeof *rank);
    for (size_t d = 0; ranked != NULL && rank != NULL && d < count; d++) {
        EvaluationResult one = of_document(result, (int64_t)d);
        double bits = evaluation_bits_per_byte(&one);
        ranked[d] = (Ranked){isnan(bits) ? HUGE_VAL : bits, (int64_t)d};
    }
    if (ranked != NULL && rank != NULL) {
        qsort(ranked, count, sizeof *ranked, easier_first);
        for (size_t i = 0; i < count; i++) rank[ranked[i].document] = (int64_t)i + 1;
    } else {
        free(rank);
        rank = NULL;
    }
    free(ranked);
    return rank;
}

void evaluation_documents_table(const EvaluationResult *result, Table *table)
{
    static const char *const columns[] = {
        "document",      "tokens",          "words",         "bytes", "nats",    "nats_per_token",
        "bits_per_byte", "word_perplexity", "words_counted", "rank",  "protocol"};
    const DataSplit *split = &result->dataset->splits[result->split];
    int64_t *rank = rank_documents(result, split->documents);
    table_create(table, "documents", columns, 11);
    table->lost = rank == NULL;
    for (int64_t d = 0; d < split->documents && rank != NULL; d++) {
        EvaluationResult one = of_document(result, d);
        table_text(table, split->names[d]);
        table_integer(table, one.tokens);
        table_integer(table, one.words);
        table_integer(table, one.bytes);
        table_number(table, one.nats);
        table_number(table, one.nats / (double)one.tokens);
        table_number(table, evaluation_bits_per_byte(&one));
        table_number(table, evaluation_word_perplexity(&one));
        table_text(table, evaluation_words_counted(&one));
        table_integer(table, rank[d]);
        table_text(table, evaluation_protocol(result));
    }
    free(rank);
}
