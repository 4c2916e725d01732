/* SPDX-License-Identifier: Apache-2.0
 *
 * The data sets of the field as they are published, and the counts that their papers divide by.
 */
#ifndef PAL_IO_PUBLISHED_H
#define PAL_IO_PUBLISHED_H

#include <stdint.h>

#include "io/text/text_source.h"

/* What has been counted of a split. */
typedef struct SplitCounts {
    int64_t tokens, words, lines, bytes;
} SplitCounts;

/* Local. "pg19", "wikitext-103", "enwik8"; "text" for everything else. */
const char *published_name(const TextSource *source, const SplitCounts counts[SPLIT_COUNT]);

/* Local. The words that word-level perplexity of this split is divided by, by publication:
 * PG-19's for its 50 validation or 100 test books where 1 % more or fewer have been counted,
 * WikiText-103's tokens for its whole files. 0: it is not such a split, or has none. */
int64_t published_words(const TextSource *source, Split split, const SplitCounts *counts);

/* Local. Says where a data set that is known by its layout is not whole, and what is missing. */
void published_compare(const TextSource *source, const SplitCounts counts[SPLIT_COUNT]);

#endif
