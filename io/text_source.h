/* SPDX-License-Identifier: Apache-2.0
 *
 * Where texts come from: the list of documents of a folder or file, each a range of bytes of some
 * file, and a stream over the bytes of one.
 */
#ifndef PAL_IO_TEXT_SOURCE_H
#define PAL_IO_TEXT_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "io/dataset.h"
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
void text_source_close(TextSource *source);

typedef struct TextStream {
    const TextDocument *document; /* borrowed */
    FILE *file;
    int64_t left;
} TextStream;

/* Local. */
Status text_stream_open(TextStream *stream, const TextDocument *document);
/* Local. Up to `size` bytes; *got is 0 at the end. Error: the file became shorter or unreadable. */
Status text_stream_read(TextStream *stream, uint8_t *bytes, size_t size, size_t *got);
void text_stream_close(TextStream *stream);

#endif
