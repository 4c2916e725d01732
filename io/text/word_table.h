/* SPDX-License-Identifier: Apache-2.0
 *
 * Words (any bytes) and a number for each.
 */
#ifndef PAL_IO_WORD_TABLE_H
#define PAL_IO_WORD_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

typedef struct Word {
    UT_hash_handle hh;
    int64_t number; /* the caller's: a count, a token, a place */
    size_t length;
    uint8_t bytes[];
} Word;

typedef struct WordBlock WordBlock;

/* {0} is an empty one. */
typedef struct WordTable {
    Word *words; /* uthash's: in the order they came, by hh.next */
    WordBlock *blocks;
    size_t taken; /* bytes that words take */
} WordTable;

/* Local. NULL: not there. */
Word *word_table_find(const WordTable *table, const uint8_t *bytes, size_t length);
/* Local. The word, new ones with number 0; NULL: no memory. Stays where it is until the table is
 * emptied. */
Word *word_table_get(WordTable *table, const uint8_t *bytes, size_t length);
/* Local. */
size_t word_table_count(const WordTable *table);
void word_table_empty(WordTable *table);

#endif
