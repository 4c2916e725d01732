/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a part of a text, piece after piece. All documents of all splits stand back to back,
 * and a part is any range of that: it may begin and end within documents, so that ranks can share a
 * text whatever its documents are. One file is open at a time.
 */
#ifndef PAL_IO_TEXT_READER_H
#define PAL_IO_TEXT_READER_H

#include <stddef.h>
#include <stdint.h>

#include "io/text_source.h"
#include "mpi/partition.h"

typedef struct TextReader {
    const TextSource *source; /* borrowed */
    int64_t left;             /* bytes of the part that are still to be read */
    Split split;              /* where the next of them stands */
    int64_t document;
    int64_t document_first; /* bytes of the split before this document */
    int64_t offset;         /* in the document */
    int descriptor;         /* of the document; -1: not open */
    uint8_t before;         /* the byte before */
} TextReader;

/* Bytes of one document. */
typedef struct TextPiece {
    Split split;
    int64_t document;
    int64_t first;  /* they are bytes [first, first + count) of the split */
    size_t count;   /* 0: the part is at its end */
    uint8_t before; /* the byte before them; a space where the document begins */
} TextPiece;

/* Local. `part`: of the source's total_bytes. The source outlives the reader. */
void text_reader_begin(TextReader *reader, const TextSource *source, Range part);
/* Local. The next bytes, `size` at most. Errors: the document's file cannot be opened (66), became
 * shorter (65), cannot be read (74). */
Status text_reader_next(TextReader *reader, uint8_t *bytes, size_t size, TextPiece *piece);
/* Local. */
void text_reader_end(TextReader *reader);

#endif
