/* SPDX-License-Identifier: Apache-2.0
 *
 * Where texts come from: the list of documents of a folder or file, each a range of bytes of some
 * file. text_reader.h reads them.
 */
#ifndef PAL_IO_TEXT_SOURCE_H
#define PAL_IO_TEXT_SOURCE_H

#include <stdint.h>

#include "io/dataset.h"
#include "mpi/grid.h"
#include "src/base/status.h"

typedef struct TextDocument {
    char *name; /* file name without .txt */
    char *path;
    int64_t first, bytes; /* the document is bytes [first, first + bytes) of path */
} TextDocument;

typedef struct TextSource {
    TextDocument *documents[SPLIT_COUNT];
    int64_t count[SPLIT_COUNT];
    int64_t total_bytes;
} TextSource;

/* Local. Lists a folder in the layout of PG-19 (names sorted, by number where they are numbers) or
 * cuts a file. Errors: see prepare_data. The caller calls text_source_close also on failure. */
Status text_source_open(TextSource *source, const char *input, const char *split_at);
/* Collective over the group: every rank gets the list of rank 0, which alone looks into folders;
 * all of them would be work for the file system. The others have {0} before. Error: memory. */
Status text_source_share(TextSource *source, const Group *group);
void text_source_close(TextSource *source);

#endif
