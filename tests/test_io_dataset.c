/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare, data.h5, windows, metrics: round trips, and every kind of broken input.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/dataset.h"
#include "io/metrics.h"
#include "io/output.h"
#include "io/prepare.h"
#include "io/reader.h"
#include "src/base/log.h"
#include "tests/test_io_support.h"

static char folder[256];

/* folder/books in the layout of PG-19; names that sort differently as numbers and as text. */
static void write_books(void)
{
    static const char *const books[][2] = {
        {"train/10.txt", "in the beginning\n"}, {"train/9.txt", "a b  c\td\n"},
        {"train/100.txt", "\xc3\xa4 \xff\n"},   {"train/notes.md", "not a document"},
        {"train/appendix.txt", "last by name"}, {"validation/1.txt", "one"},
        {"test/2.txt", " two words "},          {"metadata.csv", "1,One,1900,url\n"},
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

static Status prepare_named(const char *input, const char *output, const char *split_at)
{
    char from[512], to[512];
    PrepareOptions options = {in_folder(folder, input, from), in_folder(folder, output, to),
                              "bytes", split_at};
    return prepare_data(&options);
}

static void assert_refused(Status found, Status expected, const char *piece)
{
    if (found != expected || strstr(status_message(), piece) == NULL)
        fail_msg("status %d '%s', expected %d '%s'", (int)found, status_message(), (int)expected,
                 piece);
}

static int set_up(void **state)
{
    (void)state;
    if (!temporary_folder(folder)) return -1;
    write_books();
    return prepare_named("books", "data.h5", NULL) == PAL_OK ? 0 : -1;
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
    assert_string_equal(data->tokenizer, "bytes");
    assert_int_equal(data->vocabulary, 257);
    assert_int_equal(data->document_token, 256);
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
    assert_int_equal(prepare_named("enwik", "enwik.h5", NULL), PAL_OK);
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

    assert_int_equal(prepare_named("enwik", "enwik.h5", "10,30"), PAL_OK);
    assert_int_equal(dataset_open(&data, path, 1), PAL_OK);
    assert_int_equal(data->splits[SPLIT_TRAIN].tokens, 10);
    assert_int_equal(data->splits[SPLIT_VALIDATION].tokens, 20);
    dataset_close(&data);
    assert_refused(prepare_named("enwik", "x.h5", "30,10"), PAL_ERROR_USAGE, "expected A,B");
    assert_refused(prepare_named("enwik", "x.h5", "30"), PAL_ERROR_USAGE, "--split-at 30");
    assert_refused(prepare_named("enwik", "x.h5", "30,3000000"), PAL_ERROR_USAGE, "3000000");
    assert_refused(prepare_named("books", "x.h5", "3,5"), PAL_ERROR_USAGE, "for one file");
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
    assert_refused(prepare_named("nothing", "x.h5", NULL), PAL_ERROR_NO_INPUT, "nothing");
    mkdir(in_folder(folder, "empty", path), 0777);
    assert_refused(prepare_named("empty", "x.h5", NULL), PAL_ERROR_DATA, "layout of PG-19");
    mkdir(in_folder(folder, "empty/train", path), 0777);
    assert_refused(prepare_named("empty", "x.h5", NULL), PAL_ERROR_DATA, "no documents");
    write_text(in_folder(folder, "empty/train/7.txt", path), "");
    assert_refused(prepare_named("empty", "x.h5", NULL), PAL_ERROR_DATA,
                   "7.txt: the document is empty");
    assert_refused(prepare_named("empty/train/7.txt", "x.h5", NULL), PAL_ERROR_DATA, "is empty");
    write_text(path, "short");
    assert_refused(prepare_named("empty/train/7.txt", "x.h5", NULL), PAL_ERROR_DATA, "too short");
    assert_refused(prepare_named("books", "no/such/x.h5", NULL), PAL_ERROR_CANT_CREATE,
                   "x.h5: cannot be created");
    assert_refused(prepare_named("no-books", "empty", NULL), PAL_ERROR_CANT_CREATE, "is a folder");
    assert_false(path_exists(in_folder(folder, "empty.part", path)));
    assert_false(path_exists(in_folder(folder, "x.h5", path)));
    assert_false(path_exists(in_folder(folder, "x.h5.part", path)));

    PrepareOptions options = {folder, path, "words", NULL};
    assert_refused(prepare_data(&options), PAL_ERROR_USAGE, "not in this version");
    options.tokenizer = "letters";
    assert_refused(prepare_data(&options), PAL_ERROR_USAGE, "unknown");
    assert_int_equal(prepare_named("empty", "small.h5", NULL), PAL_OK);
    Dataset *data;
    assert_int_equal(dataset_open(&data, in_folder(folder, "small.h5", path), 1), PAL_OK);
    assert_int_equal(data->splits[SPLIT_TEST].documents, 0);
    assert_int_equal(data->splits[SPLIT_TEST].tokens, 0);
    dataset_close(&data);
}

/* What a killed prepare left behind is overwritten, however long it was. */
static void leftovers_are_overwritten(void **state)
{
    (void)state;
    char path[512];
    in_folder(folder, "again.h5.part", path);
    assert_true(write_text(path, "half a file"));
    assert_int_equal(truncate(path, 1 << 20), 0);
    assert_int_equal(prepare_named("books", "again.h5", NULL), PAL_OK);
    assert_false(path_exists(path));

    Dataset *data;
    struct stat found;
    in_folder(folder, "again.h5", path);
    assert_int_equal(stat(path, &found), 0);
    assert_true(found.st_size < 1 << 20);
    assert_int_equal(dataset_open(&data, path, 1), PAL_OK);
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
    assert_int_equal(h5_set_integer(file, "/", "version", 2), PAL_OK);
    assert_int_equal(h5_close(&file), PAL_OK);
    assert_refused(dataset_open(&data, path, 1), PAL_ERROR_DATA, "version 2");
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

static void write_split(H5File *file, const char *name, const Defect *defect)
{
    uint16_t tokens[20] = {0};
    const int64_t offsets[] = {0, 10, 20}, bytes[] = {10, defect->bytes},
                  words[] = {1, defect->words};
    char path[64];
    snprintf(path, sizeof path, "/%s/tokens", name);
    assert_int_equal(h5_write(file, path, STORED_UINT16, (Shape){1, {20}}, tokens), PAL_OK);
    snprintf(path, sizeof path, "/%s/offsets", name);
    assert_int_equal(h5_write(file, path, STORED_INT64, (Shape){1, {3}}, offsets), PAL_OK);
    snprintf(path, sizeof path, "/%s/bytes", name);
    assert_int_equal(h5_write(file, path, STORED_INT64, (Shape){1, {2}}, bytes), PAL_OK);
    snprintf(path, sizeof path, "/%s/words", name);
    assert_int_equal(h5_write(file, path, STORED_INT64, (Shape){1, {2}}, words), PAL_OK);
    snprintf(path, sizeof path, "/%s/names", name);
    assert_int_equal(h5_write_texts(file, path, defect->names, 2), PAL_OK);
}

static void write_data(const char *path, const Defect *defect)
{
    H5File *file;
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", PAL_DATA_FORMAT), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "version", PAL_DATA_VERSION), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "tokenizer", "bytes"), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "vocabulary", defect->vocabulary), PAL_OK);
    assert_int_equal(h5_set_integer(file, "/", "document_token", defect->document_token), PAL_OK);
    for (int s = 0; s < SPLIT_COUNT; s++) write_split(file, split_name((Split)s), defect);
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

static void write_format(const char *path, const char *format)
{
    H5File *file;
    assert_int_equal(h5_create(&file, path, NULL), PAL_OK);
    if (format != NULL) assert_int_equal(h5_set_text(file, "/", "format", format), PAL_OK);
    assert_int_equal(h5_close(&file), PAL_OK);
}

/* What prepare (a data file) and evaluate --losses (no format) may replace. */
static void other_files_are_not_replaced(void **state)
{
    (void)state;
    char path[512], missing[512];
    in_folder(folder, "output.h5", path);
    assert_int_equal(output_check(path, NULL), PAL_OK);
    write_text(path, "");
    assert_int_equal(output_check(path, PAL_DATA_FORMAT), PAL_OK);
    write_format(path, "palimpsest-checkpoint");
    assert_refused(output_check(path, PAL_DATA_FORMAT), PAL_ERROR_CANT_CREATE, "is a checkpoint");
    assert_refused(output_check(path, NULL), PAL_ERROR_CANT_CREATE, "is a checkpoint; it would be");
    write_format(path, PAL_DATA_FORMAT);
    assert_int_equal(output_check(path, PAL_DATA_FORMAT), PAL_OK);
    assert_refused(output_check(path, NULL), PAL_ERROR_CANT_CREATE, "is a data file");
    write_format(path, NULL);
    assert_int_equal(output_check(path, NULL), PAL_OK);
    assert_refused(output_check(path, PAL_DATA_FORMAT), PAL_ERROR_CANT_CREATE, "did not prepare");
    assert_refused(output_check(in_folder(folder, "no/l.h5", missing), NULL), PAL_ERROR_CANT_CREATE,
                   "folder that exists");
    assert_int_equal(unlink(path), 0);
}

static void two_processes_do_not_write_one_file(void **state)
{
    (void)state;
    char part[512], path[512];
    struct stat before, after;
    H5File *file;
    in_folder(folder, "twice.h5", path);
    assert_int_equal(h5_create(&file, in_folder(folder, "twice.h5.part", part), NULL), PAL_OK);
    assert_int_equal(h5_set_text(file, "/", "format", PAL_DATA_FORMAT), PAL_OK);
    assert_int_equal(stat(part, &before), 0);
    pid_t other = fork();
    if (other == 0) {
        Status status = prepare_named("books", "twice.h5", NULL);
        bool said = strstr(status_message(), "another process is writing it") != NULL;
        _exit(status == PAL_ERROR_CANT_CREATE && said ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(other, &result, 0), other);
    assert_int_equal(result, 0);
    assert_int_equal(stat(part, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(h5_publish(&file, path), PAL_OK);
    assert_false(path_exists(part));
    assert_int_equal(prepare_named("books", "twice.h5", NULL), PAL_OK);
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

/* Runs prepare in a process of its own, whose exit must be clean too. 0: all as expected. */
static int prepare_in_child(const char *output, bool limit_size)
{
    pid_t child = fork();
    if (child == 0) {
        if (limit_size) {
            signal(SIGXFSZ, SIG_IGN);
            struct rlimit limit = {100000, 100000};
            setrlimit(RLIMIT_FSIZE, &limit);
        }
        Status status = prepare_named("enwik", output, NULL);
        bool named =
            strstr(status_message(), limit_size ? "File too large" : "No space left") != NULL;
        exit(status == PAL_ERROR_IO && named ? 0 : 1 + (int)status);
    }
    int result = -1;
    waitpid(child, &result, 0);
    return WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
}

static void a_full_disk_is_reported(void **state)
{
    (void)state;
    char path[512];
    assert_int_equal(prepare_in_child("large.h5", true), 0);
    assert_false(path_exists(in_folder(folder, "large.h5", path)));
    assert_false(path_exists(in_folder(folder, "large.h5.part", path)));

    char disk[512];
    in_folder(folder, "disk", disk);
    if (!small_disk(disk, "256k")) {
        print_message("no small disk can be mounted here: that part is left out\n");
        return;
    }
    int result = prepare_in_child("disk/large.h5", false);
    bool left = path_exists(in_folder(folder, "disk/large.h5.part", path));
    Metrics *metrics;
    Status opened = metrics_open(&metrics, in_folder(folder, "disk/metrics.jsonl", path), false);
    Status status = opened;
    for (int i = 0; i < 20000 && status == PAL_OK; i++) {
        metrics_begin(metrics, "train");
        metrics_integer(metrics, "update", i);
        status = metrics_end(metrics);
    }
    struct stat size;
    stat(path, &size);
    char last = 0;
    FILE *file = fopen(path, "rb");
    if (file != NULL && fseek(file, -1, SEEK_END) == 0) last = (char)fgetc(file);
    if (file != NULL) fclose(file);
    (void)metrics_close(&metrics);
    remove_small_disk(disk);
    assert_int_equal(result, 0);
    assert_false(left);
    assert_int_equal(opened, PAL_OK);
    assert_refused(status, PAL_ERROR_IO, "No space left");
    assert_int_equal(last, '\n');
}

static void metrics_are_json_lines(void **state)
{
    (void)state;
    char path[512], text[512] = "";
    Metrics *metrics;
    assert_int_equal(metrics_open(&metrics, in_folder(folder, "m.jsonl", path), false), PAL_OK);
    assert_string_equal(metrics_line(metrics), "");
    metrics_begin(metrics, "train");
    metrics_integer(metrics, "update", INT64_MAX);
    metrics_number(metrics, "loss", 0.1);
    metrics_number(metrics, "ratio", 1.0 / 3.0);
    metrics_number(metrics, "nan", (double)NAN);
    metrics_text(metrics, "text", "a\"b\\c\n\xc3\xa4");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    const char *line = "{\"kind\": \"train\", \"update\": 9223372036854775807, \"loss\": 0.1, "
                       "\"ratio\": 0.3333333333333333, \"nan\": null, "
                       "\"text\": \"a\\\"b\\\\c\\u000a\xc3\xa4\"}";
    assert_string_equal(metrics_line(metrics), line);
    assert_int_equal(metrics_close(&metrics), PAL_OK);

    assert_int_equal(metrics_open(&metrics, path, true), PAL_OK);
    metrics_begin(metrics, "x");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    assert_int_equal(metrics_close(&metrics), PAL_OK);
    FILE *file = fopen(path, "rb");
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_int_equal(length, strlen(line) + 1 + strlen("{\"kind\": \"x\"}\n"));
    assert_string_equal(text + strlen(line), "\n{\"kind\": \"x\"}\n");

    assert_int_equal(metrics_open(&metrics, NULL, false), PAL_OK);
    metrics_begin(metrics, "y");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    assert_string_equal(metrics_line(metrics), "{\"kind\": \"y\"}");
    assert_int_equal(metrics_close(&metrics), PAL_OK);
    assert_refused(metrics_open(&metrics, in_folder(folder, "no/m", path), true),
                   PAL_ERROR_CANT_CREATE, "no/m");
}

static void two_processes_do_not_write_one_metrics_file(void **state)
{
    (void)state;
    char path[512];
    Metrics *metrics;
    assert_int_equal(metrics_open(&metrics, in_folder(folder, "both.jsonl", path), false), PAL_OK);
    metrics_begin(metrics, "kept");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    pid_t other = fork();
    if (other == 0) {
        Metrics *second;
        Status status = metrics_open(&second, path, false);
        _exit(status == PAL_ERROR_CANT_CREATE && strstr(status_message(), "another process") != NULL
                  ? 0
                  : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(other, &result, 0), other);
    assert_int_equal(result, 0);
    struct stat is;
    assert_int_equal(stat(path, &is), 0);
    assert_int_not_equal(is.st_size, 0);
    assert_int_equal(metrics_close(&metrics), PAL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(books_come_back),
        cmocka_unit_test(one_file_is_cut),
        cmocka_unit_test(windows_are_shifted_and_padded),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(leftovers_are_overwritten),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(pipes_are_refused),
        cmocka_unit_test(impossible_contents_are_refused),
        cmocka_unit_test(other_files_are_not_replaced),
        cmocka_unit_test(two_processes_do_not_write_one_file),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(a_full_disk_is_reported),
        cmocka_unit_test(metrics_are_json_lines),
        cmocka_unit_test(two_processes_do_not_write_one_metrics_file),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
