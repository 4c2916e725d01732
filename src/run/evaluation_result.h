/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of one evaluation, and how people and scripts are told them (spec: model, section 7).
 *
 *     bits per byte = nats / ln 2 / bytes          word-level perplexity = exp(nats / words)
 *
 * words is what the data set's authors count, where the data file says so, else what stands between
 * white space; whoever prints the perplexity says which. Numbers of a dynamic evaluation have names
 * of their own, so that nobody takes them for plain ones. All functions are local.
 */
#ifndef PAL_RUN_EVALUATION_RESULT_H
#define PAL_RUN_EVALUATION_RESULT_H

#include "io/dataset.h"
#include "io/metrics.h"
#include "io/table.h"
#include "src/tensor/model_options.h"

/* How the text was trained on before it was predicted. */
typedef struct DynamicProtocol {
    int windows, rows; /* of an update */
    double rate;
    int64_t updates, skipped;
} DynamicProtocol;

typedef struct EvaluationResult {
    const Dataset *dataset; /* borrowed, with the documents */
    Split split;
    double nats; /* over all tokens of all documents */
    int64_t tokens, bytes;
    int64_t words;               /* the count that is used */
    bool words_published;        /* it is that of the data set's authors */
    const double *document_nats; /* (documents) borrowed from the evaluation, until its next run */
    double seconds;
    bool is_dynamic;
    DynamicProtocol dynamic;
} EvaluationResult;

/* What was evaluated, for people and scripts; all borrowed. */
typedef struct EvaluationOrigin {
    const char *checkpoint, *data, *trained_with; /* paths; the last one of the data of training */
    int64_t update;
    const ModelOptions *model; /* with the sizes of this evaluation */
} EvaluationOrigin;

/* Error (PAL_ERROR_DATA): the split has no token. path: of the data file. */
Status evaluation_check_split(const Dataset *dataset, Split split, const char *path);

/* From the nats (documents) of a whole split. */
EvaluationResult evaluation_result(const Dataset *dataset, Split split,
                                   const double *document_nats);

double evaluation_bits_per_byte(const EvaluationResult *result);
double evaluation_word_perplexity(const EvaluationResult *result);

/* "published count of PG-19" or "counted by white space" */
const char *evaluation_words_text(const EvaluationResult *result, char text[80]);
/* "white space" or "published", for scripts */
const char *evaluation_words_counted(const EvaluationResult *result);

/* "words", "subwords", "bytes": what the targets are. */
const char *evaluation_targets(const Dataset *dataset);

/* "plain" or "dynamic" */
const char *evaluation_protocol(const EvaluationResult *result);

/* One sentence: how the numbers came about. */
void evaluation_protocol_text(const EvaluationResult *result, char *text, size_t size);

enum { SIZES_TEXT = 256 };

/* "window 512, memory 512, compressed memory 512 at rate 3"; sizes that differ by layer as lists:
 * "512,256,256". */
void evaluation_sizes_text(const ModelOptions *options, char text[3 * SIZES_TEXT]);

/* The JSON object of an evaluation, in one line. key: of a sweep, with the value of this one; NULL:
 * none. *line is the caller's to free. Error: no memory. */
Status evaluation_json(const EvaluationResult *result, const EvaluationOrigin *origin,
                       const char *key, int64_t value, char **line);

/* Adds the fields of an evaluation line: split, nats, tokens, bytes, words, loss, ... */
void evaluation_report(Metrics *metrics, const EvaluationResult *result);

/* For people: a line a document, and the totals. path: of the data file. */
void evaluation_print(const EvaluationResult *result, const char *path);

/* documents.csv: a row a document. */
void evaluation_documents_table(const EvaluationResult *result, Table *table);

#endif
