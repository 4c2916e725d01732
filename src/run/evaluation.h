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
#include "src/run/pipeline.h"
#include "src/run/session.h"

typedef struct Evaluation {
    Session *session; /* borrowed */
    Model model;
    Pipeline pipeline;
    Feed feed;             /* this rank's rows, of which it may have none; begun anew by each run */
    const char *path;      /* of the data file, borrowed */
    Real *window_nats;     /* (B,T) of the last window, on the host */
    double *document_nats; /* (documents) */
    float **token_nats;    /* with losses: per document, of this rank's documents; else NULL */
} Evaluation;

typedef struct EvaluationResult {
    double nats; /* over all tokens of all documents */
    int64_t tokens, bytes, words;
    const double *document_nats; /* (documents) borrowed from the evaluation, until its next run */
    double seconds;
} EvaluationResult;

/* Collective over all ranks, with the same arguments. Takes memory from the arena (before it is
 * sealed). At most `rows` documents are read side by side on every rank; fewer where the longest
 * one takes longer anyway. `path` is borrowed. Errors: those of the data file. evaluation_destroy
 * is due in any case. */
Status evaluation_create(Evaluation *evaluation, Session *session, Arena *arena,
                         const Parameters *parameters, const char *path, Split split, int rows);

/* Local, after the arena was sealed and the weights are there. */
void evaluation_start(Evaluation *evaluation);

/* Local. The documents. */
const DataSplit *evaluation_split(const Evaluation *evaluation);

/* Collective over all ranks. losses: a path for the nats of every token (one float32 dataset
 * /documents/NAME/nats a document), or NULL. `label` stands in the progress line.
 * Errors: no documents (65); the losses cannot be written (73, 74); a request to stop (75), with no
 * losses written. */
Status evaluation_run(Evaluation *evaluation, const char *losses, const char *label,
                      EvaluationResult *result);

/* Local. Adds the fields of an evaluation line: split, nats, tokens, bytes, words, loss, ... */
void evaluation_report(Metrics *metrics, const Evaluation *evaluation,
                       const EvaluationResult *result);

double evaluation_bits_per_byte(const EvaluationResult *result);
double evaluation_word_perplexity(const EvaluationResult *result);

/* Local. Closes the data file; accepts what was only partly created. */
void evaluation_destroy(Evaluation *evaluation);

#endif
