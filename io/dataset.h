/* SPDX-License-Identifier: Apache-2.0
 *
 * data.h5: the tokens of all documents of the three splits, back to back, with where each document
 * begins, its name, and its words and bytes as counted when it was prepared (io/README.md); and the
 * tokenizer that made them.
 * Offsets, names and counts are held in memory; tokens are read in blocks, ahead of the reader, one
 * block for every slot (a row of the batch), so a window seldom costs a read.
 */
#ifndef PAL_IO_DATASET_H
#define PAL_IO_DATASET_H

#include <stdint.h>

#include "io/h5_file.h"
#include "io/tokenizer_model.h"
#include "src/base/status.h"

#define PAL_DATA_FORMAT "palimpsest-data"
enum { PAL_DATA_VERSION = 2 };
/* int64 (V): how often each token occurs in the training split. */
#define PAL_TOKEN_COUNTS "/tokenizer/counts"

typedef enum Split { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST, SPLIT_COUNT } Split;

/* One split. Document d has tokens [offsets[d], offsets[d + 1]) of the split's stream. */
typedef struct DataSplit {
    int64_t documents;
    int64_t tokens;
    int64_t *offsets; /* (documents + 1) */
    char **names;     /* (documents) */
    int64_t *words;   /* (documents) separated by white space */
    int64_t *bytes;   /* (documents) */
    int64_t total_words, total_bytes;
    int64_t published_words; /* what the data set's authors count; 0: nothing is known */
} DataSplit;

typedef struct TokenBlock TokenBlock;

typedef struct Dataset {
    char *path;
    char *name; /* of the data set: "pg19", "wikitext-103", "enwik8", or "text" */
    TokenizerModel tokenizer;
    DataSplit splits[SPLIT_COUNT];

    H5File *file;
    StoredType token_type; /* uint16 or int32 */
    TokenBlock *blocks;    /* (num_slots) */
    int num_slots;
    int block_tokens; /* tokens that a block holds */
} Dataset;

/* Local. "train", "validation", "test". */
const char *split_name(Split split);
/* Local. Error: PAL_ERROR_USAGE with the three names. */
Status split_parse(const char *name, Split *split);

/* Local; every rank opens the file itself. `slots` >= 1: rows that will be read side by side.
 * Errors: no such file (66); not HDF5, cut short, a checkpoint, another version, inconsistent
 * (65). */
Status dataset_open(Dataset **dataset, const char *path, int slots);
/* Local. Of vocabulary, documents, and the beginning and the end of every split: which text it is.
 * Error: reading. */
Status dataset_checksum(Dataset *dataset, int64_t *sum);
/* Local. How often each token occurs in the training split. *found is false, and nothing is
 * written, where the file does not say. Errors: reading; counts below 0 (65). */
Status dataset_read_counts(Dataset *dataset, int64_t *counts /* (V) */, bool *found);
/* Collective over the group. All ranks have opened it, with status `mine` (NULL where that failed),
 * and all read the same text: vocabulary, documents, the beginning and the end of every split.
 * Error on every rank: the first `mine`; the rank that reads another text than rank 0 (65). */
Status dataset_agree(Dataset *dataset, Status mine, const Group *group);
/* Local. Accepts NULL, sets NULL. */
void dataset_close(Dataset **dataset);

/* Local. Tokens [first, first + count) of the split's stream, through the block of this slot. */
Status dataset_read_tokens(Dataset *dataset, Split split, int slot, int64_t first, int64_t count,
                           int32_t *tokens /* (count) */);

#endif
