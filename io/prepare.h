/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to data.h5 (io/README.md). The input is a folder in the layout of PG-19,
 *     train/ID.txt  validation/ID.txt  test/ID.txt     one document a file
 * or one file, cut into the three splits at two byte offsets, each split one document.
 * Ranks share the text by bytes, and what they write does not depend on how many they are. Files
 * are streamed; memory grows with the number of documents only.
 */
#ifndef PAL_IO_PREPARE_H
#define PAL_IO_PREPARE_H

#include "mpi/grid.h"
#include "src/base/status.h"

typedef struct PrepareOptions {
    const char *input;     /* folder or file */
    const char *output;    /* data.h5; written under a temporary name, then renamed */
    const char *tokenizer; /* "bytes"; NULL means that */
    const char *split_at;  /* "A,B": train [0,A), validation [A,B), test [B,end) of a file;
                              NULL: 90 % and 95 % of its bytes */
} PrepareOptions;

/* Collective over the group, with the same options. Prints progress and a table of what was
 * written. Where it fails or is stopped, on whichever rank, nothing is left.
 * Errors, the same on every rank: unknown tokenizer, bad split points (64); empty document, no
 * documents, a file that became shorter (65); no such input, as rank 0 or the rank that reads it
 * sees it (66); output cannot be made, or is not seen by all (73); reading or writing failed (74);
 * stopped as any rank was asked (75). */
Status prepare_data(const PrepareOptions *options, const Group *group);

#endif
