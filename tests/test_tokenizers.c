/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers: decoding gives back every byte, of all that Unicode has and of what is no Unicode;
 * tokens do not depend on the pieces that a text comes in; subwords are those that SentencePiece
 * itself gives for a line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/text/fields.h"
#include "io/text/subword_model.h"
#include "io/text/tokenizer.h"
#include "src/base/random.h"

static Tokenizer *subwords, *words, *bytes;
static SubwordModel *library;

/* --- what is learned from --------------------------------------------------------------------- */

enum { LINES = 4000 };

static bool next_line(void *context, const char **text, size_t *length)
{
    static const char *const syllables[] = {"the ",
                                            "of ",
                                            "a",
                                            "me",
                                            "mo",
                                            "ry ",
                                            "long",
                                            "er ",
                                            "text ",
                                            "\xC3\xA9t\xC3\xA9 ",
                                            "\xE4\xB8\xAD\xE6\x96\x87 ",
                                            "1918",
                                            ", ",
                                            "\t",
                                            "re",
                                            "mem",
                                            "ber",
                                            "ing "};
    static char line[256];
    int *count = context;
    if (++*count > LINES) return false;
    RandomStream stream = random_substream(random_stream(1, "lines"), (uint64_t)*count, 0);
    strcpy(line, " ");
    for (uint64_t i = 0; i < 12; i++)
        strcat(line, syllables[(int)(random_uniform(stream, i) * 18.0)]);
    *text = line;
    *length = strlen(line);
    return true;
}

static Tokenizer *learn(const char *algorithm)
{
    int count = 0;
    const SubwordTraining training = {algorithm, 400, "<doc>", next_line, &count};
    char reason[PAL_REASON_SIZE] = "";
    void *model;
    size_t size;
    if (!subword_model_train(&training, &model, &size, reason)) fail_msg("%s", reason);
    library = subword_model_load(model, size, reason);
    assert_non_null(library);
    TokenizerModel all = {"sentencepiece", 400, subword_model_find(library, "<doc>"), model, size};
    Tokenizer *made;
    assert_int_equal(tokenizer_create(&made, &all, "a test"), PAL_OK);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    static const char list[] = "the\n<eos>\nof\n<unk>\n\xC3\xA9t\xC3\xA9\n";
    TokenizerModel of_words = {"words", 6, 5, (uint8_t *)strdup(list), sizeof list - 1};
    TokenizerModel of_bytes = {.kind = "bytes", .vocabulary = 257, .document_token = 256};
    subwords = learn("unigram");
    bool made = tokenizer_create(&words, &of_words, "a test") == PAL_OK &&
                tokenizer_create(&bytes, &of_bytes, "a test") == PAL_OK;
    return made ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    tokenizer_destroy(&subwords);
    tokenizer_destroy(&words);
    tokenizer_destroy(&bytes);
    subword_model_free(library);
    return 0;
}

/* --- there and back --------------------------------------------------------------------------- */

static TokenList encode(const Tokenizer *tokenizer, const void *text, size_t length, size_t piece)
{
    TextEncoder *encoder;
    TokenList tokens = {0};
    assert_int_equal(text_encoder_create(&encoder, tokenizer, true), PAL_OK);
    text_encoder_begin(encoder, "a text", 0);
    for (size_t done = 0; done < length; done += piece) {
        size_t count = length - done < piece ? length - done : piece;
        assert_int_equal(text_encoder_feed(encoder, (const uint8_t *)text + done, count, &tokens),
                         PAL_OK);
    }
    assert_int_equal(text_encoder_end(encoder, false, &tokens), PAL_OK);
    text_encoder_destroy(&encoder);
    return tokens;
}

static void check_decoded(const Tokenizer *tokenizer, const TokenList *tokens, const void *text,
                          size_t length)
{
    TextDecoder decoder = {0};
    size_t done = 0, count;
    for (size_t i = 0; i < tokens->count; i++) {
        assert_in_range(tokens->tokens[i], 0, tokenizer->model.vocabulary - 1);
        const uint8_t *piece = text_decoder_next(&decoder, tokenizer, tokens->tokens[i], &count);
        if (count == 0) continue;
        assert_true(done + count <= length);
        assert_memory_equal(piece, (const uint8_t *)text + done, count);
        done += count;
    }
    assert_int_equal(done, length);
}

static void check_text(const Tokenizer *tokenizer, const void *text, size_t length)
{
    TokenList whole = encode(tokenizer, text, length, length + 1);
    check_decoded(tokenizer, &whole, text, length);
    static const size_t pieces[] = {1, 3, 4095, 5000};
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        if (length / pieces[p] > 100000) continue;
        TokenList cut = encode(tokenizer, text, length, pieces[p]);
        assert_int_equal(cut.count, whole.count);
        if (cut.count > 0)
            assert_memory_equal(cut.tokens, whole.tokens, cut.count * sizeof *cut.tokens);
        token_list_free(&cut);
    }
    token_list_free(&whole);
}

static const struct {
    const char *text;
    size_t length;
} awkward[] = {
#define TEXT(literal)               \
    {                               \
        literal, sizeof literal - 1 \
    }
    TEXT(""),
    TEXT(" "),
    TEXT("\n"),
    TEXT("a"),
    TEXT("\n\n\n"),
    TEXT("  two  spaces  "),
    TEXT(" \n  \n the\n\n memory"),
    TEXT("line\r\nends\r\n\r\n"),
    TEXT("\ttab\t\t\n"),
    TEXT("no line end"),
    TEXT("ends with a space \n"),
    TEXT("\0null\0 \0\n\0"),
    TEXT("\xEF\xBB\xBF"
         "a byte order mark"),
    TEXT("\xE2\x96\x81 the library's space \xE2\x96\x81\xE2\x96\x81 as text\xE2\x96\x81"),
    TEXT("\xE2\x96\x85 \xE2\x81\x87 its other signs"),
    TEXT("<unk> <s> </s> <doc> <0x41> <pad>"),
    TEXT("\xC2\xA0 \xE3\x80\x80 \xE2\x80\x89\xE2\x80\xA8 other spaces\xC2\x85"),
    TEXT("e\xCC\x81 and \xC3\xA9: combining"),
    TEXT("\xEF\xAC\x81 \xE2\x85\xA3 \xEF\xBC\xA1 what NFKC would change"),
    TEXT("\xD9\x85\xD8\xB1\xD8\xAD\xD8\xA8\xD8\xA7 \xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D"),
    TEXT("\xE4\xB8\xAD\xE6\x96\x87\xE6\x96\x87\xE4\xB8\xAD"),
    TEXT("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7 "
         "\xF0\x9F\x87\xAB\xF0\x9F\x87\xB7"),
    TEXT("\xF4\x8F\xBF\xBF \xEF\xBF\xBF \xEF\xBF\xBD the last ones"),
    TEXT("\xFF\xFE \x80 \xC0\x80 \xED\xA0\x80 \xF4\x90\x80\x80 \xE4\xB8 \xC3"),
    TEXT("half a character at the end \xE4\xB8"),
    TEXT("\xC3\n\xA4"),
#undef TEXT
};
enum { AWKWARD = sizeof awkward / sizeof *awkward };

static void awkward_text_comes_back(void **state)
{
    (void)state;
    for (int i = 0; i < AWKWARD; i++) {
        check_text(subwords, awkward[i].text, awkward[i].length);
        check_text(bytes, awkward[i].text, awkward[i].length);
    }
}

/* The sanitizer looks at every allocation of the library: there one in so many. */
#ifdef __SANITIZE_ADDRESS__
enum { STEP = 29 };
#else
enum { STEP = 1 };
#endif

/* Every pair of bytes, and every character of Unicode. */
static void everything_comes_back(void **state)
{
    (void)state;
    enum { CHARACTERS = 0x110000 };
    uint8_t *text = malloc((size_t)CHARACTERS * 5), *to = text;
    for (int i = 0; i < 65536; i += STEP) {
        *to++ = (uint8_t)(i >> 8);
        *to++ = (uint8_t)i;
        *to++ = i % 5 == 0 ? '\n' : ' ';
    }
    check_text(subwords, text, (size_t)(to - text));
    to = text;
    for (int c = 0; c < CHARACTERS; c += STEP) { /* surrogates too, which are no UTF-8 */
        if (c >= 0x10000) *to++ = (uint8_t)(0xF0 | c >> 18);
        if (c >= 0x800)
            *to++ =
                (uint8_t)((c >= 0x10000 ? 0x80 : 0xE0) | (c >> 12 & (c >= 0x10000 ? 0x3F : 0x0F)));
        if (c >= 0x80)
            *to++ = (uint8_t)((c >= 0x800 ? 0x80 : 0xC0) | (c >> 6 & (c >= 0x800 ? 0x3F : 0x1F)));
        *to++ = (uint8_t)(c >= 0x80 ? 0x80 | (c & 0x3F) : c);
        if (c % 7 == 0) *to++ = c % 3 == 0 ? '\n' : ' ';
    }
    check_text(subwords, text, (size_t)(to - text));
    free(text);
}

/* Words longer than a field, of one byte, of characters, of spaces. */
static void long_words_come_back(void **state)
{
    (void)state;
    enum { LENGTH = 3 * PAL_FIELD_BYTES + 17 };
    static uint8_t text[LENGTH];
    static const char *const fillers[] = {"x",    "\xE4\xB8\xAD",    " ", "\n", "ab \n",
                                          "\xFF", "\xF0\x9F\x91\xA9"};
    for (size_t f = 0; f < sizeof fillers / sizeof *fillers; f++)
        for (size_t length = PAL_FIELD_BYTES - 3; length <= LENGTH; length += 1031) {
            for (size_t i = 0; i < length; i++)
                text[i] = (uint8_t)fillers[f][i % strlen(fillers[f])];
            check_text(subwords, text, length);
        }
}

static void bpe_too(void **state)
{
    (void)state;
    SubwordModel *before = library;
    Tokenizer *bpe = learn("bpe");
    for (int i = 0; i < AWKWARD; i++) check_text(bpe, awkward[i].text, awkward[i].length);
    tokenizer_destroy(&bpe);
    subword_model_free(library);
    library = before;
}

/* A line's tokens are what the library gives for the line with a space in front. */
static void subwords_are_the_library_s(void **state)
{
    (void)state;
    int count = 0, ids[512];
    const char *line;
    size_t length;
    for (int i = 0; i < 500; i++) {
        assert_true(next_line(&count, &line, &length));
        int expected = subword_model_encode(library, line, length, ids, 512);
        assert_in_range(expected, 1, 511);
        TokenList found = encode(subwords, line + 1, length - 1, 1000);
        assert_int_equal(found.count, expected);
        assert_memory_equal(found.tokens, ids, (size_t)expected * sizeof *ids);
        token_list_free(&found);
    }
}

/* --- words ------------------------------------------------------------------------------------ */

static void check_words(const char *text, const char *expected, const char *decoded)
{
    char found[256] = "", back[256] = "";
    TextDecoder decoder = {0};
    TokenList tokens = encode(words, text, strlen(text), 2);
    for (size_t i = 0; i < tokens.count; i++) {
        size_t count;
        snprintf(found + strlen(found), 8, "%d ", (int)tokens.tokens[i]);
        const uint8_t *piece = text_decoder_next(&decoder, words, tokens.tokens[i], &count);
        strncat(back, (const char *)piece, count);
    }
    assert_string_equal(found, expected);
    assert_string_equal(back, decoded);
    token_list_free(&tokens);
}

static void words_and_line_ends(void **state)
{
    (void)state;
    check_words("", "", "");
    check_words("the", "0 1 ", "the\n");
    check_words(" the of \n", "0 2 1 ", "the of\n");
    check_words("\n\n the\n", "1 1 0 1 ", "\n\nthe\n");
    check_words("of\tthe\r\nThe", "2 0 1 3 1 ", "of the\n<unk>\n");
    check_words("\xC3\xA9t\xC3\xA9 \xFF <unk> <eos>", "4 3 3 1 1 ",
                "\xC3\xA9t\xC3\xA9 <unk> <unk>\n\n");
}

/* --- wrong ones ------------------------------------------------------------------------------- */

static void assert_no_tokenizer(const char *kind, int vocabulary, int document, const char *model,
                                const char *piece)
{
    size_t size = strlen(model);
    TokenizerModel wrong = {"", vocabulary, document, (uint8_t *)strdup(model), size};
    snprintf(wrong.kind, sizeof wrong.kind, "%s", kind);
    Tokenizer *none;
    assert_int_equal(tokenizer_create(&none, &wrong, "x.h5"), PAL_ERROR_DATA);
    assert_null(none);
    assert_non_null(strstr(status_message(), piece));
    assert_non_null(strstr(status_message(), "x.h5"));
}

static void damaged_ones_are_refused(void **state)
{
    (void)state;
    assert_no_tokenizer("morse", 5, 4, "", "'morse' is unknown");
    assert_no_tokenizer("words", 4, 3, "the\n<eos>\n", "fewer words");
    assert_no_tokenizer("words", 3, 2, "the\n<eos>\n<unk>\n", "more words");
    assert_no_tokenizer("words", 4, 3, "the\n<eos>\n<unk>", "no end");
    assert_no_tokenizer("words", 4, 3, "the\nthe\n<eos>\n", "twice");
    assert_no_tokenizer("words", 4, 3, "the\n\n<eos>\n", "empty");
    assert_no_tokenizer("words", 4, 3, "the\nof\n<eos>\n", "no <unk>");
    assert_no_tokenizer("sentencepiece", 400, 1, "no such model", "cannot be read");
    assert_no_tokenizer("sentencepiece", 400, 1, "", "SentencePiece model");
}

static void invalid_text_is_refused(void **state)
{
    (void)state;
    static const char text[] = "good words\nand \xE4\xB8\xAD then \xC3( bad";
    const Tokenizer *strict[] = {subwords, words};
    for (int t = 0; t < 2; t++) {
        TextEncoder *encoder;
        TokenList tokens = {0};
        assert_int_equal(text_encoder_create(&encoder, strict[t], false), PAL_OK);
        text_encoder_begin(encoder, "the/book.txt", 100);
        Status status = text_encoder_feed(encoder, (const uint8_t *)text, sizeof text - 1, &tokens);
        assert_int_equal(status, PAL_ERROR_DATA);
        assert_non_null(strstr(status_message(), "the/book.txt: is no UTF-8: byte 124 is 0xC3"));
        text_encoder_destroy(&encoder);
        token_list_free(&tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(awkward_text_comes_back),    cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(long_words_come_back),       cmocka_unit_test(bpe_too),
        cmocka_unit_test(subwords_are_the_library_s), cmocka_unit_test(words_and_line_ends),
        cmocka_unit_test(damaged_ones_are_refused),   cmocka_unit_test(invalid_text_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
