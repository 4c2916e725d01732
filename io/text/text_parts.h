/* SPDX-License-Identifier: Apache-2.0
 *
 * A text cut into parts that can be turned into tokens each by itself, and parts put together to
 * units of work of about equal size. Both depend on the text alone, not on who works.
 *
 * A part is a document, or a range of a long plain one: the lines that begin in it, whole. So no
 * word, and no line, is in two parts. Packed files cannot be entered in the middle and are one part.
 */
#ifndef PAL_IO_TEXT_PARTS_H
#define PAL_IO_TEXT_PARTS_H

#include <stdint.h>

#include "io/text/text_source.h"

/* Lines that begin in bytes [first, end) of a document. end -1: that of a packed file. */
typedef struct TextPart {
    Split split;
    int64_t document, first, end;
} TextPart;

/* Unit u has parts [first_part[u], first_part[u + 1]). Units do not go over splits. */
typedef struct TextParts {
    const TextSource *source; /* borrowed */
    TextPart *parts;          /* (num_parts) in the order of splits, documents, bytes */
    int64_t num_parts;
    int64_t *first_part; /* (num_units + 1) */
    int64_t num_units;
} TextParts;

/* Local. Pure; units have about unit_bytes. Ends the program where there is no memory. */
void text_parts_create(TextParts *parts, const TextSource *source, int64_t unit_bytes);
void text_parts_destroy(TextParts *parts);

/* Local. The document of a part. */
static inline const TextDocument *text_part_document(const TextParts *parts, const TextPart *part)
{
    return &parts->source->documents[part->split][part->document];
}

/* Local. Bytes on the disk that have to be read for it, about. */
int64_t text_part_cost(const TextParts *parts, const TextPart *part);
int64_t text_unit_cost(const TextParts *parts, int64_t unit);

#endif
