/* SPDX-License-Identifier: Apache-2.0
 *
 * What a word is, for `--tokenizer words` and for the words that word-level perplexity counts.
 */
#ifndef PAL_IO_WORDS_H
#define PAL_IO_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/text/fields.h"

/* isspace() of the C locale: what words stand between. */
#define PAL_WORD_ENDS " \t\n\v\f\r"
/* As the field writes them: the end of a line; what is not in the vocabulary. */
#define PAL_LINE_END_WORD "<eos>"
#define PAL_UNKNOWN_WORD  "<unk>"

/* A field is over (fields.h): does a line end with it, be it the text's last one, which needs no line
 * end? *in_line, false before a text: whether one has begun; `goes_on`: the text has a next part. */
static inline bool word_line_ends(bool *in_line, size_t length, int end, bool goes_on)
{
    bool begun = *in_line || length > 0;
    bool ends = end == '\n' || (end == FIELD_LAST && begun && !goes_on);
    *in_line = !ends;
    return ends;
}

static inline bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

#endif
