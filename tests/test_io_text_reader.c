/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts of a text, however it is cut: together they have every byte once, each with its place and
 * the byte before it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/text_reader.h"
#include "src/base/log.h"
#include "tests/test_io_books.h"

/* Documents of write_books() in their order, and the same as one file cut in three. */
static const char *const documents[] = {
    "a b  c\td\n", "in the beginning\n", "\xc3\xa4 \xff\n", "last by name", "one", " two words "};
enum { TRAIN_DOCUMENTS = 4, DOCUMENTS = 6, MOST_BYTES = 256 };

static char folder[256];

/* What every byte of the text should come with. */
typedef struct Expected {
    int64_t document, first;
    Split split;
    uint8_t byte, before;
} Expected;

static int expect_books(Expected *expected)
{
    int total = 0;
    int64_t first = 0;
    for (int d = 0; d < DOCUMENTS; d++) {
        Split split = d < TRAIN_DOCUMENTS    ? SPLIT_TRAIN
                      : d == TRAIN_DOCUMENTS ? SPLIT_VALIDATION
                                             : SPLIT_TEST;
        if (d >= TRAIN_DOCUMENTS) first = 0;
        for (int i = 0; documents[d][i] != '\0'; i++) {
            uint8_t before = i == 0 ? ' ' : (uint8_t)documents[d][i - 1];
            expected[total++] = (Expected){d < TRAIN_DOCUMENTS ? d : 0, first++, split,
                                           (uint8_t)documents[d][i], before};
        }
    }
    return total;
}

static void check_part(const TextSource *source, const Expected *expected, Range part, size_t size)
{
    TextReader reader;
    TextPiece piece;
    uint8_t bytes[MOST_BYTES];
    const Expected *next = expected + part.first;
    text_reader_begin(&reader, source, part);
    for (;;) {
        assert_int_equal(text_reader_next(&reader, bytes, size, &piece), PAL_OK);
        if (piece.count == 0) break;
        assert_true(piece.count <= size);
        for (size_t i = 0; i < piece.count; i++, next++) {
            assert_int_equal(piece.split, next->split);
            assert_int_equal(piece.document, next->document);
            assert_int_equal(piece.first + (int64_t)i, next->first);
            assert_int_equal(bytes[i], next->byte);
            assert_int_equal(i == 0 ? piece.before : bytes[i - 1], next->before);
        }
    }
    assert_true(next == expected + part.first + part.count);
    assert_int_equal(reader.left, 0);
    text_reader_end(&reader);
}

static void every_part_is_read(void **state)
{
    (void)state;
    char path[512];
    TextSource source;
    Expected expected[MOST_BYTES];
    int total = expect_books(expected);
    assert_int_equal(text_source_open(&source, in_folder(folder, "books", path), NULL), PAL_OK);
    assert_int_equal(source.total_bytes, total);
    for (int first = 0; first <= total; first++)
        for (int end = first; end <= total; end++) {
            check_part(&source, expected, (Range){first, end - first}, MOST_BYTES);
            check_part(&source, expected, (Range){first, end - first}, 3);
        }
    text_source_close(&source);
}

/* Documents that are ranges of one file. */
static void parts_of_one_file_are_read(void **state)
{
    (void)state;
    static const char text[] = "one long word, andanother";
    enum { TOTAL = sizeof text - 1, A = 6, B = 17 };
    char path[512];
    TextSource source;
    Expected expected[TOTAL];
    for (int i = 0; i < TOTAL; i++) {
        int begin = i < A ? 0 : i < B ? A : B;
        Split split = i < A ? SPLIT_TRAIN : i < B ? SPLIT_VALIDATION : SPLIT_TEST;
        uint8_t before = i == begin ? ' ' : (uint8_t)text[i - 1];
        expected[i] = (Expected){0, i - begin, split, (uint8_t)text[i], before};
    }
    assert_true(write_text(in_folder(folder, "one.txt", path), text));
    assert_int_equal(text_source_open(&source, path, "6,17"), PAL_OK);
    for (int first = 0; first <= TOTAL; first++)
        for (int end = first; end <= TOTAL; end++)
            check_part(&source, expected, (Range){first, end - first}, 4);
    text_source_close(&source);
}

static void changed_files_are_refused(void **state)
{
    (void)state;
    char path[512];
    TextSource source;
    TextReader reader;
    TextPiece piece;
    uint8_t bytes[MOST_BYTES];
    assert_true(
        write_text(in_folder(folder, "changes.txt", path), "some thirty letters and a few"));
    assert_int_equal(text_source_open(&source, path, NULL), PAL_OK);
    assert_int_equal(truncate(path, 10), 0);
    text_reader_begin(&reader, &source, (Range){5, 10});
    assert_refused(text_reader_next(&reader, bytes, MOST_BYTES, &piece), PAL_ERROR_DATA,
                   "changes.txt: became shorter while it was read: no byte 10, expected 26 bytes");
    text_reader_end(&reader);
    text_reader_begin(&reader, &source, (Range){15, 1});
    assert_refused(text_reader_next(&reader, bytes, MOST_BYTES, &piece), PAL_ERROR_DATA,
                   "no byte 14");
    text_reader_end(&reader);
    assert_int_equal(unlink(path), 0);
    text_reader_begin(&reader, &source, (Range){0, 1});
    assert_refused(text_reader_next(&reader, bytes, MOST_BYTES, &piece), PAL_ERROR_NO_INPUT,
                   "changes.txt: cannot be opened");
    text_reader_end(&reader);
    text_source_close(&source);
}

static int set_up(void **state)
{
    (void)state;
    if (!temporary_folder(folder)) return -1;
    write_books(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_is_read),
        cmocka_unit_test(parts_of_one_file_are_read),
        cmocka_unit_test(changed_files_are_refused),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
