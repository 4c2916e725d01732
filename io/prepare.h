/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to data.h5 (io/README.md). The input is a folder in the layout of PG-19,
 *     train/ID.txt  validation/ID.txt  test/ID.txt     one document a file
 * or one file, cut into the three splits at two byte offsets, each split one document.
 * Files are streamed; memory does not grow with them.
 */
#ifndef PAL_IO_PREPARE_H
#define PAL_IO_PREPARE_H

#include "src/base/status.h"

typedef struct PrepareOptions {
    const char *input;     /* folder or file */
    const char *output;    /* data.h5; written under a temporary name, then renamed */
    const char *tokenizer; /* "bytes"; NULL means that */
    const char *split_at;  /* "A,B": train [0,A), validation [A,B), test [B,end) of a file;
                              NULL: 90 % and 95 % of its bytes */
} PrepareOptions;

/* Local; one rank does it. Prints progress and a table of what was written.
 * Errors: unknown tokenizer, bad split points (64); empty document, no documents (65); no such
 * input (66); output cannot be made (73); reading or writing failed (74). */
Status prepare_data(const PrepareOptions *options);

#endif
