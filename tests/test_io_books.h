/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of prepare and of what it writes: a few books, and refusals. After <cmocka.h>.
 */
#ifndef PAL_TEST_IO_BOOKS_H
#define PAL_TEST_IO_BOOKS_H

#include "io/text/prepare.h"
#include "src/base/status.h"
#include "tests/test_io_support.h"

/* folder/books in the layout of PG-19; names that sort differently as numbers and as text. */
static inline void write_books(const char *folder)
{
    static const char *const books[][2] = {
        {"train/10.txt", "in the beginning\n"}, {"train/9.txt", "a b  c\td\n"},
        {"train/100.txt", "\xc3\xa4 \xff\n"},   {"train/notes.md", "not a document"},
        {"train/appendix.txt", "last by name"}, {"validation/1.txt", "one"},
        {"test/2.txt", " two words "},
    };
    char path[512];
    static const char *const folders[] = {"books", "books/train", "books/validation", "books/test"};
    for (size_t i = 0; i < 4; i++) mkdir(in_folder(folder, folders[i], path), 0777);
    for (size_t i = 0; i < sizeof books / sizeof *books; i++) {
        char name[64];
        snprintf(name, sizeof name, "books/%s", books[i][0]);
        assert_true(write_text(in_folder(folder, name, path), books[i][1]));
    }
}

/* Who prepares by itself. */
static const Group alone = {.size = 1};

/* Of names in the folder. */
static inline Status prepare_named(const char *folder, const char *input, const char *output,
                                   const char *split_at)
{
    char from[512], to[512];
    PrepareOptions options = {
        .source = {.input = in_folder(folder, input, from), .split_at = split_at},
        .output = in_folder(folder, output, to),
        .tokenizer = "bytes",
        .subwords = {.algorithm = "unigram", .sample_bytes = 1e6}};
    return prepare_data(&options, &alone);
}

static inline void assert_refused(Status found, Status expected, const char *piece)
{
    if (found != expected || strstr(status_message(), piece) == NULL)
        fail_msg("status %d '%s', expected %d '%s'", (int)found, status_message(), (int)expected,
                 piece);
}

#endif
