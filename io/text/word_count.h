/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary of `--tokenizer words`: the words of the training split by falling frequency, those
 * of equal frequency by their bytes.
 *
 * Ranks count the words of their units. A count that grows too large for memory goes to a file of
 * OUTPUT.work, sorted, and rank 0 merges these files line by line: memory grows with the vocabulary
 * that is kept, not with the text.
 */
#ifndef PAL_IO_WORD_COUNT_H
#define PAL_IO_WORD_COUNT_H

#include <stdbool.h>

#include "io/text/text_parts.h"
#include "io/text/work_folder.h"
#include "io/tokenizer_model.h"
#include "mpi/grid.h"

/* Collective over the group. `vocabulary`: V, with <eos>, <unk> and <doc>; 0: all words. On rank 0
 * *model becomes the tokenizer, owned by the caller; on the others {0}.
 * keep_invalid: words need not be UTF-8.
 * Errors, the same on every rank: a word is no UTF-8 (65); the text has fewer words than V (64), more than can be ids (65);
 * of reading and writing; PAL_STOPPED_EARLY. */
Status count_words(const TextParts *parts, const WorkFolder *folder, const Group *group,
                   int64_t vocabulary, bool keep_invalid, TokenizerModel *model);

#endif
