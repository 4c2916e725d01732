/* SPDX-License-Identifier: Apache-2.0
 *
 * Where texts come from: the documents of the three splits, each a file or a range of one. How a
 * data set is published is its layout, which is known by what is there:
 *
 *     books       train/ID.txt validation/ID.txt test/ID.txt, and PG-19's metadata.csv if it is there
 *     WikiText    wiki.train.tokens wiki.valid.tokens wiki.test.tokens, one document each
 *     one file    cut at two bytes into the three splits, one document each (Enwik8)
 *
 * Every file may be packed (text_file.h).
 */
#ifndef PAL_IO_TEXT_SOURCE_H
#define PAL_IO_TEXT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/dataset.h"
#include "mpi/grid.h"
#include "src/base/status.h"

typedef enum TextLayout { LAYOUT_BOOKS, LAYOUT_WIKITEXT, LAYOUT_FILE, LAYOUT_COUNT } TextLayout;

typedef struct TextDocument {
    char *name; /* file name without .txt, .tokens and the ending of a packed file */
    char *path;
    int64_t first;    /* the document begins at this byte of the text in path */
    int64_t bytes;    /* and has so many; -1: to the end of a packed file, not known before */
    int64_t on_disk;  /* bytes of the file, and when they changed last: whether it is the same */
    int64_t modified; /* ns */
} TextDocument;

typedef struct TextSource {
    TextLayout layout;
    bool has_metadata; /* PG-19's metadata.csv is there and names these books */
    TextDocument *documents[SPLIT_COUNT];
    int64_t count[SPLIT_COUNT];
} TextSource;

typedef struct TextSourceOptions {
    const char *input;    /* folder or file */
    const char *split_at; /* "A,B": bytes where validation and test begin in one file; NULL: 90 %
                             and 95 % */
    bool subset;          /* metadata.csv may have lines without files, and files no lines */
    bool no_training;     /* the training split may be empty */
} TextSourceOptions;

/* Local. Lists the documents: names sorted, by number where they are numbers. A packed single file
 * is unpacked to see how long it is. The caller calls text_source_close also on failure.
 * Errors: bad split points (64); no documents, what is no file, a book twice, books and metadata
 * that do not fit (65); no such input (66). */
Status text_source_open(TextSource *source, const TextSourceOptions *options);
/* Collective over the group: every rank gets the list of rank 0, which alone looks into folders;
 * all of them would be work for the file system. The others have {0} before. Error: memory. */
Status text_source_share(TextSource *source, const Group *group);
void text_source_close(TextSource *source);

/* Local, for layouts (text_layout_*.c): appends a document. */
Status text_source_add(TextSource *source, Split split, const char *path, int64_t first,
                       int64_t bytes);
/* Local. Sorts the documents of a split by name; two of one name are an error (65). */
Status text_source_sort(TextSource *source, Split split);

#endif
