/* SPDX-License-Identifier: Apache-2.0
 *
 * The loss of every token of a split (spec: model, section 7). Documents are read whole, each from
 * an empty memory, several side by side; with reset_memory = never in order, in one row, whose
 * memory goes on. Results do not depend on how documents are spread over rows and ranks, beyond
 * rounding.
 */
#ifndef PAL_RUN_EVALUATION_H
#define PAL_RUN_EVALUATION_H

#include "src/model/model.h"
#include "src/run/collector.h"
#include "src/run/evaluation_result.h"
#include "src/run/feed.h"
#include "src/run/measures.h"
#include "src/run/pipeline.h"
#include "src/run/session.h"

typedef struct Evaluation {
    Session *session; /* borrowed */
    const char *path; /* of the data file, borrowed */
    Dataset *dataset;
    Split split;
    int all_rows; /* of all ranks */
    Model model;
    Pipeline pipeline;
    Feed feed; /* this rank's rows, of which it may have none; begun anew by each run */
    Collector collector;
    Measures *measures; /* borrowed; NULL: losses alone */
} Evaluation;

/* Collective over all ranks, with the same arguments. Opens the data. At most `rows` documents are
 * read side by side on every rank; fewer where the longest one takes longer anyway. `path` is
 * borrowed. Errors: those of the data file. evaluation_destroy is due in any case. */
Status evaluation_open(Evaluation *evaluation, Session *session, const char *path, Split split,
                       int rows);

/* Collective over all ranks. Takes the model that session->config describes from the arena, before
 * it is sealed; again, for other sizes, after that arena is gone (or is used no more). */
Status evaluation_build(Evaluation *evaluation, Arena *arena, const Parameters *parameters);

/* Collective over all ranks, after evaluation_build and before the arena is sealed: runs measure too.
 * `measures` is borrowed. Error: the data file's counts cannot be read. */
Status evaluation_measure(Evaluation *evaluation, Arena *arena, Measures *measures);

/* Local, after the arena was sealed and the weights are there. */
void evaluation_start(Evaluation *evaluation);

/* Local. The documents. */
const DataSplit *evaluation_split(const Evaluation *evaluation);

/* Collective over all ranks. losses: a path for the nats of every token (one float32 dataset
 * /documents/NAME/nats a document), or NULL. `label` stands in the progress line.
 * Errors: no documents (65); the losses cannot be written (73, 74); a request to stop (75), with no
 * losses written; a token that was not counted once (70). */
Status evaluation_run(Evaluation *evaluation, const char *losses, const char *label,
                      EvaluationResult *result);

/* Local. Closes the data file; accepts what was only partly created. */
void evaluation_destroy(Evaluation *evaluation);

#endif
