/* SPDX-License-Identifier: Apache-2.0
 *
 * The model is the list of words, each with a line end behind it, in the order of their ids. White
 * space is what the C locale calls so; WikiText's published counts come out of that.
 */
#include <stdlib.h>
#include <string.h>

#include "io/text/tokenizer_kind.h"
#include "io/text/word_table.h"
#include "io/text/words.h"

typedef struct WordsState {
    WordTable ids;
    int32_t line_end, unknown;
    uint8_t *spelled; /* every word with a space in front */
    uint32_t *first;  /* (V + 1) where in it each begins */
} WordsState;

static Status bad(const char *where, const char *what)
{
    PAL_FAIL(PAL_ERROR_DATA, "%s: its vocabulary of words is damaged: %s; prepare the data again",
             where, what);
}

static Status add_word(WordsState *s, const uint8_t *word, size_t length, int32_t id,
                       const char *where)
{
    Word *entry = word_table_get(&s->ids, word, length);
    if (entry == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for its words", where);
    if (length == 0 || word_table_count(&s->ids) != (size_t)id + 1)
        return bad(where, "a word is empty or stands there twice");
    entry->number = id;
    uint32_t place = s->first[id];
    s->spelled[place] = ' ';
    memcpy(s->spelled + place + 1, word, length);
    s->first[id + 1] = place + 1 + (uint32_t)length;
    return PAL_OK;
}

static Status add_words(WordsState *s, const TokenizerModel *model, const char *where)
{
    const uint8_t *word = model->bytes, *end = model->bytes + model->size;
    int32_t id = 0;
    for (; word < end; id++) {
        const uint8_t *behind = memchr(word, '\n', (size_t)(end - word));
        if (behind == NULL || id >= model->vocabulary - 1)
            return bad(where, "it has more words than ids, or no end");
        PAL_TRY(add_word(s, word, (size_t)(behind - word), id, where));
        word = behind + 1;
    }
    if (id != model->vocabulary - 1 || model->document_token != id)
        return bad(where, "it has fewer words than ids");
    return PAL_OK;
}

static Status find_special(const WordsState *s, const char *word, int32_t *id, const char *where)
{
    const Word *found = word_table_find(&s->ids, (const uint8_t *)word, strlen(word));
    if (found == NULL) return bad(where, "it has no <eos> or no <unk>");
    *id = (int32_t)found->number;
    return PAL_OK;
}

static Status load(Tokenizer *tokenizer, const char *where)
{
    const TokenizerModel *model = &tokenizer->model;
    WordsState *s = calloc(1, sizeof *s);
    tokenizer->state = s;
    if (s == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for its words", where);
    s->spelled = malloc(model->size + 1);
    s->first = calloc((size_t)model->vocabulary + 1, sizeof *s->first);
    if (s->spelled == NULL || s->first == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for its words", where);
    PAL_TRY(add_words(s, model, where));
    PAL_TRY(find_special(s, PAL_LINE_END_WORD, &s->line_end, where));
    return find_special(s, PAL_UNKNOWN_WORD, &s->unknown, where);
}

static void unload(Tokenizer *tokenizer)
{
    WordsState *s = tokenizer->state;
    if (s == NULL) return;
    word_table_empty(&s->ids);
    free(s->spelled);
    free(s->first);
    free(s);
}

static Status encode_field(void *context, const uint8_t *bytes, size_t length, int end)
{
    TextEncoder *e = context;
    const WordsState *s = e->tokenizer->state;
    if (length > 0) {
        const Word *word = word_table_find(&s->ids, bytes, length);
        if (word == NULL) PAL_TRY(text_encoder_check_text(e, bytes, length));
        int32_t id = word != NULL ? (int32_t)word->number : s->unknown;
        PAL_TRY(token_list_add(e->out, &id, 1));
    }
    bool line_ends = word_line_ends(&e->in_line, length, end, e->goes_on);
    return line_ends ? token_list_add(e->out, &s->line_end, 1) : PAL_OK;
}

static const uint8_t *decode(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                             size_t *count)
{
    static const uint8_t line_end[] = "\n";
    const WordsState *s = tokenizer->state;
    if (token == tokenizer->model.document_token) return NULL;
    bool in_line = decoder->in_line;
    decoder->in_line = token != s->line_end;
    if (token == s->line_end) {
        *count = 1;
        return line_end;
    }
    *count = s->first[token + 1] - s->first[token] - !in_line;
    return s->spelled + s->first[token] + !in_line;
}

const TokenizerKind tokenizer_words = {
    .name = "words",
    .needs_text = true,
    .load = load,
    .unload = unload,
    .field_ends = PAL_WORD_ENDS,
    .encode_field = encode_field,
    .decode = decode,
};
