/* SPDX-License-Identifier: Apache-2.0
 *
 * What data.h5 says for papers: the data set's name, its published count of words, and how often
 * each token occurs; there, absent, and impossible.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/dataset.h"
#include "tests/test_io_books.h"
#include "tests/test_io_split.h"

enum { VOCABULARY = 257 };

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    return temporary_folder(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* What a file may say; zeros: nothing of it. */
typedef struct Notes {
    const char *name;
    int64_t published; /* of the test split */
    int counts;        /* how many numbers /tokenizer/counts has */
    int64_t first;     /* the first of them; token v occurs v times else */
    bool other;        /* another dataset in /tokenizer */
} Notes;

static void write_counts(H5File *file, const Notes *notes)
{
    int64_t counts[VOCABULARY + 1];
    for (int v = 0; v < notes->counts; v++) counts[v] = v == 0 ? notes->first : v;
    if (notes->counts > 0)
        assert_int_equal(
            h5_write(file, "/tokenizer/counts", STORED_INT64, (Shape){1, {notes->counts}}, counts),
            PAL_OK);
    if (notes->other)
        assert_int_equal(h5_write(file, "/tokenizer/model", STORED_INT64, (Shape){1, {1}}, counts),
                         PAL_OK);
}

static const char *write_data(const Notes *notes, char path[512])
{
    H5File *file;
    in_folder(folder, "notes.h5", path);
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", PAL_DATA_FORMAT), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "version", PAL_DATA_VERSION), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "tokenizer", "bytes"), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "vocabulary", VOCABULARY), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "document_token", 256), PAL_OK);
    const SplitContent split = {{"a", "b"}, {10, 10}, {1, 0}};
    for (int s = 0; s < SPLIT_COUNT; s++) write_split(file, split_name((Split)s), &split);
    if (notes->name != NULL)
        assert_int_equal(h5_set_text(file, "/", "dataset", notes->name), PAL_OK);
    if (notes->published != 0)
        assert_int_equal(h5_set_integer(file, "/test", "published_words", notes->published),
                         PAL_OK);
    write_counts(file, notes);
    assert_int_equal(h5_close(&file), PAL_OK);
    return path;
}

static void files_of_earlier_versions_say_nothing(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) { /* without /tokenizer, and with it */
        const Notes notes = {.other = other == 1};
        char path[512];
        Dataset *data;
        int64_t counts[VOCABULARY];
        bool found = true;
        assert_int_equal(dataset_open(&data, write_data(&notes, path), 1), PAL_OK);
        assert_string_equal(data->name, "text");
        assert_int_equal(data->splits[SPLIT_TEST].published_words, 0);
        assert_int_equal(dataset_read_counts(data, counts, &found), PAL_OK);
        assert_false(found);
        dataset_close(&data);
    }
}

static void what_is_said_comes_back(void **state)
{
    (void)state;
    const Notes notes = {"pg19", 6966499, VOCABULARY, 5000000000, false};
    char path[512];
    Dataset *data;
    int64_t counts[VOCABULARY];
    bool found = false;
    assert_int_equal(dataset_open(&data, write_data(&notes, path), 1), PAL_OK);
    assert_string_equal(data->name, "pg19");
    assert_int_equal(data->splits[SPLIT_TEST].published_words, 6966499);
    assert_int_equal(data->splits[SPLIT_VALIDATION].published_words, 0);
    assert_int_equal(data->splits[SPLIT_TEST].total_words, 1);
    assert_int_equal(dataset_read_counts(data, counts, &found), PAL_OK);
    assert_true(found);
    assert_int_equal(counts[0], 5000000000);
    for (int v = 1; v < VOCABULARY; v++) assert_int_equal(counts[v], v);
    dataset_close(&data);
}

static void impossible_notes_are_refused(void **state)
{
    (void)state;
    char path[512];
    Dataset *data;
    int64_t counts[VOCABULARY];
    bool found;
    const Notes published = {.published = -1};
    assert_refused(dataset_open(&data, write_data(&published, path), 1), PAL_ERROR_DATA,
                   "/test: published_words = -1");
    const Notes wrong[] = {{.counts = VOCABULARY, .first = -2},
                           {.counts = VOCABULARY - 1},
                           {.counts = VOCABULARY + 1}};
    const char *const words[] = {"/tokenizer/counts[0] is -2", "(256)", "(258)"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dataset_open(&data, write_data(&wrong[i], path), 1), PAL_OK);
        assert_refused(dataset_read_counts(data, counts, &found), PAL_ERROR_DATA, words[i]);
        dataset_close(&data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_earlier_versions_say_nothing),
        cmocka_unit_test(what_is_said_comes_back),
        cmocka_unit_test(impossible_notes_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
