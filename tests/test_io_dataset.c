/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare, data.h5, windows: round trips, and every kind of broken input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/dataset.h"
#include "io/output.h"
#include "io/reader.h"
#include "src/base/log.h"
#include "tests/test_io_books.h"
#include "tests/test_io_split.h"

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    if (!temporary_folder(folder)) return -1;
    write_books(folder);
    return prepare_named(folder, "books", "data.h5", NULL) == PAL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void books_come_back(void **state)
{
    (void)state;
    char path[512];
    Dataset *data;
    assert_int_equal(dataset_open(&data, in_folder(folder, "data.h5", path), 2), PAL_OK);
    assert_string_equal(data->tokenizer.kind, "bytes");
    assert_int_equal(data->tokenizer.vocabulary, 257);
    assert_int_equal(data->tokenizer.document_token, 256);
    const DataSplit *train = &data->splits[SPLIT_TRAIN];
    assert_int_equal(train->documents, 4);
    assert_string_equal(train->names[0], "9");
    assert_string_equal(train->names[1], "10");
    assert_string_equal(train->names[2], "100");
    assert_string_equal(train->names[3], "appendix");
    const int64_t words[] = {4, 3, 2, 3}, bytes[] = {9, 17, 5, 12};
    for (int d = 0; d < 4; d++) {
        assert_int_equal(train->words[d], words[d]);
        assert_int_equal(train->bytes[d], bytes[d]);
        assert_int_equal(train->offsets[d + 1] - train->offsets[d], bytes[d]);
    }
    assert_int_equal(train->total_words, 12);
    assert_int_equal(train->total_bytes, 43);
    assert_int_equal(data->splits[SPLIT_TEST].words[0], 2);

    int32_t tokens[5];
    const int32_t expected[] = {0xc3, 0xa4, ' ', 0xff, '\n'};
    assert_int_equal(dataset_read_tokens(data, SPLIT_TRAIN, 1, train->offsets[2], 5, tokens),
                     PAL_OK);
    assert_memory_equal(tokens, expected, sizeof expected);
    assert_int_equal(dataset_read_tokens(data, SPLIT_VALIDATION, 1, 0, 1, tokens), PAL_OK);
    assert_int_equal(tokens[0], 'o');
    dataset_close(&data);
    assert_null(data);
    char part[512];
    assert_false(path_exists(in_folder(folder, "data.h5.part", part)));
}

/* A file longer than a block and than prepare's buffer, with default and given split points. */
static void one_file_is_cut(void **state)
{
    (void)state;
    enum { SIZE = 3000000 };
    char path[512];
    char *text = malloc(SIZE + 1);
    for (int i = 0; i < SIZE; i++) text[i] = (char)('a' + i % 26 - (i % 7 == 0 ? 65 : 0));
    text[SIZE] = '\0';
    assert_true(write_text(in_folder(folder, "enwik", path), text));
    assert_int_equal(prepare_named(folder, "enwik", "enwik.h5", NULL), PAL_OK);
    Dataset *data;
    assert_int_equal(dataset_open(&data, in_folder(folder, "enwik.h5", path), 1), PAL_OK);
    assert_int_equal(data->splits[SPLIT_TRAIN].tokens, 2700000);
    assert_int_equal(data->splits[SPLIT_VALIDATION].tokens, 150000);
    assert_int_equal(data->splits[SPLIT_TEST].tokens, 150000);
    assert_string_equal(data->splits[SPLIT_TEST].names[0], "enwik");
    int32_t *tokens = malloc(200000 * sizeof *tokens);
    for (int64_t first = 0; first + 200000 <= 2700000; first += 123457) {
        assert_int_equal(dataset_read_tokens(data, SPLIT_TRAIN, 0, first, 200000, tokens), PAL_OK);
        for (int i = 0; i < 200000; i++)
            if (tokens[i] != (uint8_t)text[first + i]) fail();
    }
    assert_int_equal(dataset_read_tokens(data, SPLIT_TEST, 0, 149999, 1, tokens), PAL_OK);
    assert_int_equal(tokens[0], (uint8_t)text[SIZE - 1]);
    dataset_close(&data);

    assert_int_equal(prepare_named(folder, "enwik", "enwik.h5", "10,30"), PAL_OK);
    assert_int_equal(dataset_open(&data, path, 1), PAL_OK);
    assert_int_equal(data->splits[SPLIT_TRAIN].tokens, 10);
    assert_int_equal(data->splits[SPLIT_VALIDATION].tokens, 20);
    dataset_close(&data);
    assert_refused(prepare_named(folder, "enwik", "x.h5", "30,10"), PAL_ERROR_USAGE,
                   "expected A,B");
    assert_refused(prepare_named(folder, "enwik", "x.h5", "30"), PAL_ERROR_USAGE, "--split-at 30");
    assert_refused(prepare_named(folder, "enwik", "x.h5", "30,3000000"), PAL_ERROR_USAGE,
                   "3000000");
    assert_refused(prepare_named(folder, "books", "x.h5", "3,5"), PAL_ERROR_USAGE, "for one file");
    free(tokens);
    free(text);
}

static void windows_are_shifted_and_padded(void **state)
{
    (void)state;
    char path[512];
    Dataset *data;
    BatchOrder *order;
    RowWindow windows[2];
    int32_t inputs[8], targets[8];
    int counted[2];
    bool starts[2];
    Batch batch = {2, 4, inputs, targets, counted, starts};
    assert_int_equal(dataset_open(&data, in_folder(folder, "data.h5", path), 2), PAL_OK);
    const DataSplit *train = &data->splits[SPLIT_TRAIN];
    assert_int_equal(batch_order_create(&order, 2, 4, train->documents, train->offsets, false, 1),
                     PAL_OK);
    const int32_t expected[3][2][8] = {
        {{256, 'a', ' ', 'b', 256, 'i', 'n', ' '}, {'a', ' ', 'b', ' ', 'i', 'n', ' ', 't'}},
        {{' ', ' ', 'c', '\t', 't', 'h', 'e', ' '}, {' ', 'c', '\t', 'd', 'h', 'e', ' ', 'b'}},
        {{'d', 256, 256, 256, 'b', 'e', 'g', 'i'}, {'\n', -1, -1, -1, 'e', 'g', 'i', 'n'}},
    };
    for (int w = 0; w < 3; w++) {
        batch_order_next(order, windows);
        assert_int_equal(reader_fill(&batch, data, SPLIT_TRAIN, windows), PAL_OK);
        assert_memory_equal(inputs, expected[w][0], sizeof inputs);
        assert_memory_equal(targets, expected[w][1], sizeof targets);
        assert_int_equal(counted[0], w == 2 ? 1 : 4);
        assert_int_equal(starts[0], w == 0);
    }
    batch_order_destroy(&order);

    /* Lanes: the only validation document "one" over two rows, [on] [e]. */
    const DataSplit *one = &data->splits[SPLIT_VALIDATION];
    assert_int_equal(batch_order_create(&order, 2, 4, 1, one->offsets, true, 1), PAL_OK);
    batch_order_next(order, windows);
    assert_int_equal(reader_fill(&batch, data, SPLIT_VALIDATION, windows), PAL_OK);
    const int32_t lanes[] = {256, 'o', 256, 256, 'n', 256, 256, 256};
    assert_memory_equal(inputs, lanes, sizeof inputs);
    assert_true(starts[1]);
    assert_int_equal(counted[1], 1);
    batch_order_destroy(&order);
    dataset_close(&data);
}

static void wrong_text_is_refused(void **state)
{
    (void)state;
    char path[512];
    assert_refused(prepare_named(folder, "nothing", "x.h5", NULL), PAL_ERROR_NO_INPUT, "nothing");
    mkdir(in_folder(folder, "empty", path), 0777);
    assert_refused(prepare_named(folder, "empty", "x.h5", NULL), PAL_ERROR_DATA, "layout of PG-19");
    mkdir(in_folder(folder, "empty/train", path), 0777);
    assert_refused(prepare_named(folder, "empty", "x.h5", NULL), PAL_ERROR_DATA, "no documents");
    write_text(in_folder(folder, "empty/train/7.txt", path), "");
    assert_refused(prepare_named(folder, "empty", "x.h5", NULL), PAL_ERROR_DATA,
                   "is empty, and so is every document");
    assert_refused(prepare_named(folder, "empty/train/7.txt", "x.h5", NULL), PAL_ERROR_DATA,
                   "is empty");
    write_text(path, "short");
    assert_refused(prepare_named(folder, "empty/train/7.txt", "x.h5", NULL), PAL_ERROR_DATA,
                   "too short");
    assert_refused(prepare_named(folder, "books", "no/such/x.h5", NULL), PAL_ERROR_CANT_CREATE,
                   "x.h5: cannot be created");
    assert_refused(prepare_named(folder, "no-books", "empty", NULL), PAL_ERROR_CANT_CREATE,
                   "is a folder");
    assert_false(path_exists(in_folder(folder, "empty.part", path)));
    assert_false(path_exists(in_folder(folder, "x.h5", path)));
    assert_false(path_exists(in_folder(folder, "x.h5.part", path)));

    PrepareOptions options = {.source.input = folder, .output = path, .tokenizer = "letters"};
    assert_refused(prepare_data(&options, &alone), PAL_ERROR_USAGE, "unknown");
    assert_int_equal(prepare_named(folder, "empty", "small.h5", NULL), PAL_OK);
    Dataset *data;
    assert_int_equal(dataset_open(&data, in_folder(folder, "small.h5", path), 1), PAL_OK);
    assert_int_equal(data->splits[SPLIT_TEST].documents, 0);
    assert_int_equal(data->splits[SPLIT_TEST].tokens, 0);
    dataset_close(&data);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    char path[512];
    Dataset *data;
    assert_refused(dataset_open(&data, in_folder(folder, "none.h5", path), 1), PAL_ERROR_NO_INPUT,
                   "none.h5");
    assert_null(data);
    assert_refused(dataset_open(&data, folder, 1), PAL_ERROR_NO_INPUT, "is a folder");
    write_text(in_folder(folder, "text.h5", path), "a text, not HDF5");
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "text.h5: is not a whole HDF5");
    write_text(path, "");
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "is empty");

    H5File *file;
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_close(&file), PAL_OK);
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "not a data file of palimpsest");
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", "palimpsest-checkpoint"), PAL_OK);
    assert_int_equal(h5_close(&file), PAL_OK);
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "is a checkpoint");
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", PAL_DATA_FORMAT), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "version", PAL_DATA_VERSION + 1), PAL_OK);
    assert_int_equal(h5_close(&file), PAL_OK);
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_VERSION, "version 3");
}

/* A pipe would wait for a writer that never comes; the test would end by its time limit. */
static void pipes_are_refused(void **state)
{
    (void)state;
    char path[512];
    Dataset *data;
    assert_int_equal(mkfifo(in_folder(folder, "pipe.h5", path), 0666), 0);
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "pipe.h5: is a pipe");
    assert_refused(output_check(path, PAL_DATA_FORMAT), PAL_ERROR_CANT_CREATE, "no regular file");
}

/* A data file of two documents in each split, ten bytes each, with one thing wrong. */
typedef struct Defect {
    int64_t vocabulary, document_token;
    const char *names[2];
    int64_t bytes, words; /* of the second document */
    const char *piece;    /* of the message; NULL: nothing is wrong */
} Defect;

static void write_data(const char *path, const Defect *defect)
{
    H5File *file;
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", PAL_DATA_FORMAT), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "version", PAL_DATA_VERSION), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "tokenizer", "bytes"), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "vocabulary", defect->vocabulary), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "document_token", defect->document_token), PAL_OK);
    const SplitContent split = {
        {defect->names[0], defect->names[1]}, {10, defect->bytes}, {1, defect->words}};
    for (int s = 0; s < SPLIT_COUNT; s++) write_split(file, split_name((Split)s), &split);
    assert_int_equal(h5_close(&file), PAL_OK);
}

static void impossible_contents_are_refused(void **state)
{
    (void)state;
    static const Defect defects[] = {
        {257, 256, {"a", "b.c"}, 10, 10, NULL},
        {300, 256, {"a", "b"}, 10, 1, "vocabulary 300"},
        {257, 10, {"a", "b"}, 10, 1, "document token 10"},
        {257, 256, {"a", "b"}, 9, 1, "'b' has 9 bytes and 10 tokens"},
        {257, 256, {"a", "b"}, 10, 11, "'b' has 11 words"},
        {257, 256, {"a", "b"}, 10, -1, "'b' has -1 words"},
        {257, 256, {"a", "a"}, 10, 1, "two documents are called 'a'"},
        {257, 256, {"a/b", "b"}, 10, 1, "called 'a/b'"},
        {257, 256, {"a", "."}, 10, 1, "called '.'"},
        {257, 256, {"", "b"}, 10, 1, "called ''"},
    };
    char path[512];
    in_folder(folder, "defect.h5", path);
    for (size_t i = 0; i < sizeof defects / sizeof *defects; i++) {
        Dataset *data;
        write_data(path, &defects[i]);
        Status status = dataset_open(&data, path, 1);
        if (defects[i].piece == NULL)
            assert_int_equal(status, PAL_OK);
        else
            assert_refused(status, PAL_ERROR_DATA, defects[i].piece);
        dataset_close(&data);
    }
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    char whole[512], cut[512];
    FILE *file = fopen(in_folder(folder, "data.h5", whole), "rb");
    static char bytes[1 << 20];
    long size = (long)fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(size > 1000);
    in_folder(folder, "cut.h5", cut);
    for (long length = 1; length < size; length += 1 + length / 16) {
        file = fopen(cut, "wb");
        fwrite(bytes, 1, (size_t)length, file);
        fclose(file);
        Dataset *data;
        assert_refused(dataset_open(&data, cut, 1), PAL_ERROR_DATA, "cut.h5");
    }
    Dataset *data;
    file = fopen(cut, "wb");
    fwrite(bytes, 1, (size_t)(size - 1), file);
    fclose(file);
    assert_refused(dataset_open(&data, cut, 1), PAL_ERROR_DATA, "cut short");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(books_come_back),
        cmocka_unit_test(one_file_is_cut),
        cmocka_unit_test(windows_are_shifted_and_padded),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(pipes_are_refused),
        cmocka_unit_test(impossible_contents_are_refused),
        cmocka_unit_test(truncated_files_are_refused),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
