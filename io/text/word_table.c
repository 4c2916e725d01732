/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include <xxhash.h>
#define HASH_FUNCTION(key, length, hash) ((hash) = (unsigned)XXH3_64bits((key), (length)))

#include "io/text/word_table.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

/* Words are taken from blocks, as there are many and they go together. */
struct WordBlock {
    WordBlock *before;
    size_t taken, size;
    alignas(Word) unsigned char room[];
};

enum { BLOCK_BYTES = 1 << 18 };

static Word *take_word(WordTable *table, size_t length)
{
    size_t size = (sizeof(Word) + length + alignof(Word) - 1) / alignof(Word) * alignof(Word);
    WordBlock *block = table->blocks;
    if (block == NULL || block->size - block->taken < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        block = malloc(sizeof *block + room);
        if (block == NULL) return NULL;
        *block = (WordBlock){.before = table->blocks, .size = room};
        table->blocks = block;
    }
    Word *word = (Word *)(void *)(block->room + block->taken);
    block->taken += size;
    table->taken += size;
    return word;
}

Word *word_table_find(const WordTable *table, const uint8_t *bytes, size_t length)
{
    Word *word;
    HASH_FIND(hh, table->words, bytes, length, word);
    return word;
}

Word *word_table_get(WordTable *table, const uint8_t *bytes, size_t length)
{
    Word *word;
    unsigned hash;
    HASH_VALUE(bytes, length, hash);
    HASH_FIND_BYHASHVALUE(hh, table->words, bytes, length, hash, word);
    if (word != NULL) return word;

    word = take_word(table, length);
    if (word == NULL) return NULL;
    word->number = 0;
    word->length = length;
    memcpy(word->bytes, bytes, length);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, table->words, word->bytes, length, hash, word);
    return word->hh.tbl != NULL ? word : NULL;
}

size_t word_table_count(const WordTable *table) { return HASH_COUNT(table->words); }

void word_table_empty(WordTable *table)
{
    HASH_CLEAR(hh, table->words);
    while (table->blocks != NULL) {
        WordBlock *before = table->blocks->before;
        free(table->blocks);
        table->blocks = before;
    }
    table->taken = 0;
}
