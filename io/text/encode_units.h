/* SPDX-License-Identifier: Apache-2.0
 *
 * Units of a text to tokens, each to its file in OUTPUT.work; units whose files are there already
 * are left as they are. Counted on the way: words, lines, bytes of every part.
 */
#ifndef PAL_IO_ENCODE_UNITS_H
#define PAL_IO_ENCODE_UNITS_H

#include "io/text/text_parts.h"
#include "io/text/tokenizer.h"
#include "io/text/work_folder.h"
#include "mpi/grid.h"

/* What all units of a preparation have in common. */
typedef struct Encoding {
    const TextParts *parts; /* borrowed, like the next two */
    const Tokenizer *tokenizer;
    const WorkFolder *folder;
    bool keep_invalid; /* bytes that are not UTF-8 are kept; else an error where text is needed */
    bool allow_html;   /* documents may be HTML */
    int64_t tokenizer_sum;
} Encoding;

/* Local. Bytes of a token in files: 2 where all ids fit. */
size_t token_size(const Tokenizer *tokenizer);

/* Local. Opens a unit's file for reading; counts (parts of the unit). False: it is not there. */
bool encoded_unit_open(UnitFile *file, const Encoding *encoding, int64_t unit, PartCounts *counts);

/* Collective over the group. Errors, the same on every rank: of reading and writing; what is not
 * UTF-8, or HTML (65); PAL_STOPPED_EARLY. */
Status encode_units(const Encoding *encoding, const Group *group);

#endif
