/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to data.h5 (io/README.md). Ranks share the text by units, and what they write does not depend
 * on how many they are. Files are streamed; memory grows with the number of documents and the size of
 * the vocabulary only. What was stopped goes on where it was (work_folder.h).
 */
#ifndef PAL_IO_PREPARE_H
#define PAL_IO_PREPARE_H

#include "io/text/subword_training.h"
#include "io/text/text_source.h"
#include "mpi/grid.h"
#include "src/base/status.h"

typedef struct PrepareOptions {
    TextSourceOptions source;
    const char *output;         /* data.h5; written under a temporary name, then renamed */
    const char *tokenizer;      /* "bytes", "words", "sentencepiece" */
    const char *tokenizer_from; /* a data file or checkpoint whose tokenizer is taken; or NULL */
    int64_t vocabulary;         /* V; 0: all words, 32000 subwords */
    SubwordOptions subwords;    /* its vocabulary is the one above */
    bool keep_invalid, allow_html;
} PrepareOptions;

/* Collective over the group, with the same options. Prints progress and a table of what was written.
 * Errors, the same on every rank: unknown tokenizer, bad split points, a vocabulary that the text
 * does not have (64); what is wrong with the text (65); no such input, as rank 0 or the rank that
 * reads it sees it (66); another process is writing (72); output cannot be made, or is not seen by
 * all (73); reading or writing failed (74); stopped as any rank was asked (75). */
Status prepare_data(const PrepareOptions *options, const Group *group);

#endif
