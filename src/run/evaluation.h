/* SPDX-License-Identifier: Apache-2.0
 *
 * The loss of every token of a split (spec: model, section 7). Documents are read whole, each from
 * an empty memory, several side by side; with reset_memory = never in order, in one row, whose
 * memory goes on. Results do not depend on how documents are spread over rows and ranks, beyond
 * rounding.
 */
#ifndef PAL_RUN_EVALUATION_H
#define PAL_RUN_EVALUATION_H

#include "io/metrics.h"
#include "src/model/model.h"
#include "src/run/feed.h"
#include "src/run/session.h"

typedef struct Evaluation {
    Session *session; /* borrowed */
    Model model;
    Split split;
    int all_rows;       /* over all ranks */
    Range rows;         /* this rank's; a rank may have none */
    const char *path;   /* of the data file, borrowed */
    Dataset *dataset;   /* counts and names */
    Arena *arena;       /* borrowed */
    float **token_nats; /* with losses: per document, of this rank's documents; else NULL */
} Evaluation;

typedef struct EvaluationResult {
    double nats; /* over all tokens of all documents */
    int64_t tokens, bytes, words;
    double *document_nats; /* (documents) owned by the caller */
    double seconds;
} EvaluationResult;

/* Collective over all ranks. Takes memory from the arena (before it is sealed). At most `rows`
 * documents are read side by side on every rank; fewer where the longest one takes longer
 * anyway. */
Status evaluation_create(Evaluation *evaluation, Session *session, Arena *arena,
                         const Parameters *parameters, const char *path, Split split, int rows);

/* Local, after the arena was sealed. */
void evaluation_start(Evaluation *evaluation);

/* Collective over all ranks. losses: a path for the nats of every token (one float32 dataset
 * /documents/NAME/nats a document), or NULL. `label` stands in the progress line. */
Status evaluation_run(Evaluation *evaluation, const char *losses, const char *label,
                      EvaluationResult *result);

/* Local. Adds the fields of an evaluation line: split, nats, tokens, bytes, words, loss, ... */
void evaluation_report(Metrics *metrics, const Evaluation *evaluation,
                       const EvaluationResult *result);

double evaluation_bits_per_byte(const EvaluationResult *result);
double evaluation_word_perplexity(const EvaluationResult *result);

void evaluation_destroy(Evaluation *evaluation);

#endif
