/* SPDX-License-Identifier: Apache-2.0
 *
 * No piece goes over a space (the library's split_by_whitespace), so a line's tokens are those of
 * its words, each with the space before it; and since a text has the same words again and again,
 * what the library says of each is kept.
 */
#include <stdlib.h>
#include <string.h>

#include "io/text/subword_model.h"
#include "io/text/tokenizer_kind.h"
#include "io/text/word_table.h"

#define SPACE_PIECE "\xE2\x96\x81" /* U+2581, the library's sign for a space */
enum { SPACE_BYTES = sizeof SPACE_PIECE - 1, LONGEST = PAL_FIELD_BYTES + 1 };

typedef struct Subwords {
    SubwordModel *model;
    uint8_t *spelled; /* the bytes that the tokens stand for, one behind the other */
    uint32_t *first;  /* (V + 1) where in them each begins */
    int32_t space;    /* the token of a space alone */
    int32_t of_byte[256];
} Subwords;

/* What has been looked up: words behind a space, and parts of words. */
enum { SPACED, BARE, NUM_CACHES, MOST_CACHED_BYTES = 1 << 26 };
typedef struct Cache {
    WordTable words[NUM_CACHES]; /* number: first token in `tokens` times COUNTS, plus how many */
    TokenList tokens;
} Cache;
enum { COUNTS = 1 << 14 };

/* --- the model -------------------------------------------------------------------------------- */

/* Of a byte piece, "<0x0A>". */
static int byte_of(const char *piece) { return (int)strtol(piece + 3, NULL, 16) & 0xFF; }

/* The bytes of one piece; returns how many. */
static uint32_t spell(Subwords *s, int id, uint8_t *to)
{
    PieceKind kind;
    size_t length;
    const char *piece = subword_model_piece(s->model, id, &kind, &length);
    uint32_t count = 0;
    if (kind == PIECE_BYTE) {
        s->of_byte[byte_of(piece)] = id;
        to[count++] = (uint8_t)byte_of(piece);
    }
    for (size_t i = 0; kind == PIECE_TEXT && i < length;) {
        bool space = length - i >= SPACE_BYTES && memcmp(piece + i, SPACE_PIECE, SPACE_BYTES) == 0;
        to[count++] = space ? ' ' : (uint8_t)piece[i];
        i += space ? SPACE_BYTES : 1;
    }
    return count;
}

static size_t spelled_size(const Subwords *s, int count)
{
    size_t size = 0, length;
    PieceKind kind;
    for (int id = 0; id < count; id++) {
        (void)subword_model_piece(s->model, id, &kind, &length);
        size += length;
    }
    return size;
}

static Status check_model(const Subwords *s, const TokenizerModel *model, const char *where)
{
    PieceKind kind = PIECE_TEXT;
    size_t length;
    int size = subword_model_size(s->model);
    if (size == model->vocabulary)
        (void)subword_model_piece(s->model, model->document_token, &kind, &length);
    bool whole = kind == PIECE_NONE && s->space >= 0;
    for (int b = 0; b < 256; b++) whole = whole && s->of_byte[b] >= 0;
    if (!whole)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: its SentencePiece model has %d pieces and not all of the %d tokens of text, "
                 "bytes, space and <doc> that are expected; prepare the data again",
                 where, size, model->vocabulary);
    return PAL_OK;
}

static Status load(Tokenizer *tokenizer, const char *where)
{
    const TokenizerModel *model = &tokenizer->model;
    char reason[PAL_REASON_SIZE] = "";
    Subwords *s = calloc(1, sizeof *s);
    tokenizer->state = s;
    if (s == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", where);
    s->model = subword_model_load(model->bytes, model->size, reason);
    if (s->model == NULL)
        PAL_FAIL(PAL_ERROR_DATA, "%s: its SentencePiece model cannot be read: %.200s", where,
                 reason);
    int count = subword_model_size(s->model);
    s->spelled = malloc(spelled_size(s, count) + 1);
    s->first = calloc((size_t)count + 1, sizeof *s->first);
    if (s->spelled == NULL || s->first == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", where);
    for (int b = 0; b < 256; b++) s->of_byte[b] = -1;
    for (int id = 0; id < count; id++)
        s->first[id + 1] = s->first[id] + spell(s, id, s->spelled + s->first[id]);
    s->space = subword_model_find(s->model, SPACE_PIECE);
    return check_model(s, model, where);
}

static void unload(Tokenizer *tokenizer)
{
    Subwords *s = tokenizer->state;
    if (s == NULL) return;
    subword_model_free(s->model);
    free(s->spelled);
    free(s->first);
    free(s);
}

/* --- encoding --------------------------------------------------------------------------------- */

static Status begin(TextEncoder *e)
{
    e->state = calloc(1, sizeof(Cache));
    if (e->state == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    return PAL_OK;
}

static void empty_cache(Cache *cache)
{
    for (int i = 0; i < NUM_CACHES; i++) word_table_empty(&cache->words[i]);
    cache->tokens.count = 0;
}

static void end(TextEncoder *e)
{
    Cache *cache = e->state;
    if (cache == NULL) return;
    empty_cache(cache);
    token_list_free(&cache->tokens);
    free(cache);
}

/* Whether the tokens stand for exactly this text. */
static bool give_back(const Subwords *s, const int *ids, int count, const uint8_t *text,
                      size_t length)
{
    for (int i = 0; i < count; i++) {
        size_t bytes = s->first[ids[i] + 1] - s->first[ids[i]];
        if (bytes > length || memcmp(s->spelled + s->first[ids[i]], text, bytes) != 0) return false;
        text += bytes;
        length -= bytes;
    }
    return length == 0;
}

/* The library's tokens if they give the text back, else those of its bytes; returns how many. */
static int find_tokens(const Subwords *s, const uint8_t *text, size_t length, bool spaced,
                       int ids[LONGEST])
{
    int count = subword_model_encode(s->model, (const char *)text, length, ids, LONGEST);
    if (count >= 0 && give_back(s, ids, count, text, length)) return count;
    for (size_t i = 0; i < length; i++) ids[i] = spaced && i == 0 ? s->space : s->of_byte[text[i]];
    return (int)length;
}

/* A word that is not in the cache, to it. */
static Status look_up(TextEncoder *e, const uint8_t *bytes, size_t length, bool spaced, Word **word)
{
    Cache *cache = e->state;
    uint8_t text[LONGEST];
    int ids[LONGEST];
    PAL_TRY(text_encoder_check_text(e, bytes, length));
    text[0] = ' ';
    if (length > 0) memcpy(text + spaced, bytes, length);
    int count = find_tokens(e->tokenizer->state, text, length + spaced, spaced, ids);

    size_t taken = cache->words[SPACED].taken + cache->words[BARE].taken +
                   cache->tokens.count * sizeof *cache->tokens.tokens;
    if (taken > MOST_CACHED_BYTES) empty_cache(cache);
    int64_t first = (int64_t)cache->tokens.count;
    PAL_TRY(token_list_add(&cache->tokens, ids, (size_t)count));
    *word = word_table_get(&cache->words[spaced ? SPACED : BARE], bytes, length);
    if (*word == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    (*word)->number = first * COUNTS + count;
    return PAL_OK;
}

static Status emit(TextEncoder *e, const uint8_t *bytes, size_t length, bool spaced)
{
    const Cache *cache = e->state;
    if (bytes == NULL) bytes = (const uint8_t *)"";
    Word *word = word_table_find(&cache->words[spaced ? SPACED : BARE], bytes, length);
    if (word == NULL) PAL_TRY(look_up(e, bytes, length, spaced, &word));
    return token_list_add(e->out, cache->tokens.tokens + word->number / COUNTS,
                          (size_t)(word->number % COUNTS));
}

/* Fields end with a space or a line. Every one has a space in front of it, the first in a line that
 * which every line is given; an empty line is given none. */
static Status encode_field(void *context, const uint8_t *bytes, size_t length, int end)
{
    TextEncoder *e = context;
    const Subwords *s = e->tokenizer->state;
    bool line_ends = end == '\n' || end == FIELD_LAST;
    bool empty_line = !e->in_line && length == 0 && line_ends;
    bool nothing = empty_line || (e->continues && length == 0);
    if (!nothing) PAL_TRY(emit(e, bytes, length, !e->continues));
    if (end == '\n') PAL_TRY(token_list_add(e->out, &s->of_byte['\n'], 1));
    e->in_line = !line_ends;
    e->continues = end == FIELD_CUT;
    return PAL_OK;
}

static const uint8_t *decode(TextDecoder *decoder, const Tokenizer *tokenizer, int32_t token,
                             size_t *count)
{
    const Subwords *s = tokenizer->state;
    const uint8_t *bytes = s->spelled + s->first[token];
    *count = s->first[token + 1] - s->first[token];
    if (*count == 0) return NULL;
    bool given = !decoder->in_line && token != s->of_byte[' '] && bytes[0] == ' ';
    decoder->in_line = token != s->of_byte['\n'];
    *count -= given;
    return bytes + given;
}

const TokenizerKind tokenizer_sentencepiece = {
    .name = "sentencepiece",
    .needs_text = true,
    .load = load,
    .unload = unload,
    .begin = begin,
    .end = end,
    .field_ends = " \n",
    .encode_field = encode_field,
    .decode = decode,
};
