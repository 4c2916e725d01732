/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of one part of a text (text_parts.h), piece after piece, in a buffer of 1 MiB.
 */
#ifndef PAL_IO_TEXT_READER_H
#define PAL_IO_TEXT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/text/text_file.h"
#include "io/text/text_parts.h"

typedef struct TextReader {
    const TextDocument *document; /* borrowed */
    TextPart part;
    TextFile *file;
    uint8_t *buffer; /* (PAL_READ_BYTES), owned */
    int64_t offset;  /* in the document: of the next byte to be read */
    int64_t begin;   /* of the part's first line; behind its end where no line begins in it */
    int64_t place;   /* in the document: of the piece that was given last */
    bool found;      /* where the first line begins */
    bool ended;
} TextReader;

enum { PAL_READ_BYTES = 1 << 20 };

/* Local. The document outlives the reader. Errors: of text_file_open, and no memory. text_reader_end
 * is due also on failure. */
Status text_reader_begin(TextReader *reader, const TextDocument *document, TextPart part);
/* Local. The next piece; *count is 0 at the end of the part, and only there. Valid until the next
 * call. Errors: those of text_file_read; the file became shorter (65). */
Status text_reader_next(TextReader *reader, const uint8_t **bytes, size_t *count);
/* Local. */
void text_reader_end(TextReader *reader);

#endif
