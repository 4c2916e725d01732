/* SPDX-License-Identifier: Apache-2.0
 *
 * What a word is, for `--tokenizer words` and for the words that word-level perplexity counts.
 */
#ifndef PAL_IO_WORDS_H
#define PAL_IO_WORDS_H

#include <stdbool.h>
#include <stdint.h>

/* isspace() of the C locale: what words stand between. */
#define PAL_WORD_ENDS " \t\n\v\f\r"
/* As the field writes them: the end of a line; what is not in the vocabulary. */
#define PAL_LINE_END_WORD "<eos>"
#define PAL_UNKNOWN_WORD  "<unk>"

static inline bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

#endif
