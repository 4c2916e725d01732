/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary from sorted files of counts, which word_count.c writes: one word a line, its number
 * before it. Memory grows with the words that are kept.
 */
#ifndef PAL_IO_WORD_MERGE_H
#define PAL_IO_WORD_MERGE_H

#include "io/text/work_folder.h"
#include "io/tokenizer_model.h"

/* Local. The name of file n of a rank. */
void word_file_name(char path[PAL_PATH_SIZE + 64], const WorkFolder *folder, int rank, int64_t n);
/* Local. The order of words in these files: by their bytes. */
int word_compare(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length);

/* Local. files (ranks): how many files each rank has written. vocabulary and errors: as count_words. */
Status word_merge(const WorkFolder *folder, const double *files, int ranks, int64_t vocabulary,
                  TokenizerModel *model);

#endif
