/* SPDX-License-Identifier: Apache-2.0
 *
 * Configuration: what is read, every refusal with its message, and that what is written comes back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/config.h"
#include "src/base/log.h"
#include "tests/test_io_support.h"

#define DATA "[data]\npath = data.h5\n"

static void values_are_read(void **state)
{
    (void)state;
    Config config;
    const char *sets[] = {"batch.rows=3", "train.lr_peak=2.5e-4", "batch.rows=4"};
    Status status = config_parse_text(&config,
                                      "# comment\n" DATA "  reset_memory = never ; comment\n"
                                      "[model]\nlayers = 3\nmemory = 8, 16 ,24\nwidth=64\n"
                                      "window: 8\ncompressed_memory = 4\ncompression_rate = 2\n"
                                      "tie_embeddings = no\ndilations = 1,3\nnorm = post\n"
                                      "[parallel]\nthreads = auto\ndata = 2\n",
                                      "run.ini", sets, 3);
    assert_string_equal(status == PAL_OK ? "" : status_message(), "");
    assert_string_equal(config.data.path, "data.h5");
    assert_int_equal(config.data.reset_memory, RESET_NEVER);
    assert_int_equal(config.model.memory[1], 16);
    assert_int_equal(config.model.memory[2], 24);
    assert_int_equal(config.model.compressed_memory[2], 4);
    assert_int_equal(config.model.window, 8);
    assert_false(config.model.tie_embeddings);
    assert_int_equal(config.model.num_dilations, 2);
    assert_int_equal(config.model.dilations[1], 3);
    assert_int_equal(config.model.norm, NORM_POST);
    assert_int_equal(config.parallel.threads, PAL_AUTO);
    assert_int_equal(config.parallel.data, 2);
    assert_int_equal(config.batch.rows, 4);
    assert_true(config.train.lr_peak == 2.5e-4);
    assert_true(config.train.lr_end == 1e-6);
    assert_true(config.train.clip == 0.1);
    assert_int_equal(config.train.decay, config.train.updates);
}

/* Refused text, its line or key, and two pieces of the message. */
static const struct {
    const char *text, *set, *piece, *other;
} refused[] = {
    {DATA "[model]\nwidht = 8\n", NULL, "run.ini:4: unknown key model.widht", "model.width?"},
    {DATA "[train]\nrows = 8\n", NULL, "unknown key train.rows", "did you mean batch.rows?"},
    {DATA "[modle]\nwidth = 8\n", NULL, "run.ini:4: unknown section [modle]", "width in [model]"},
    {"width = 8\n", NULL, "run.ini:1", "outside a section"},
    {DATA "[batch]\nrows = 2\nrows = 3\n", NULL, "run.ini:5: batch.rows is given again", "line 4"},
    {DATA "[batch]\nrows = 2\n[model]\n[batch]\nrows = 2\n", NULL, "run.ini:7", "line 4"},
    {DATA "[batch]\nrows = 0\n", NULL, "run.ini:4: batch.rows = 0", "[1, 1048576]"},
    {DATA "[batch]\nrows = 12x\n", NULL, "batch.rows = 12x", "a whole number in"},
    {DATA "[batch]\nrows = 1.5\n", NULL, "batch.rows = 1.5", "a whole number in"},
    {DATA "[batch]\nrows =\n", NULL, "batch.rows = ", "a whole number in"},
    {DATA "[batch]\nrows = 99999999999999999999\n", NULL, "batch.rows = 9999", "a whole number"},
    {DATA "[batch]\nrows\n", NULL, "run.ini:4", "expected 'key = value'"},
    {DATA "[batch\nrows=1\n", NULL, "run.ini:3", "expected 'key = value'"},
    {DATA "[batch] rows=3\n", NULL, "run.ini:3: 'rows=3' follows [batch]", "next line"},
    {"\xef\xbb\xbf[data] path = data.h5\n", NULL, "run.ini:1: 'path = data.h5' follows [data]", ""},
    {DATA "[train]\nclip = nan\n", NULL, "train.clip = nan", "a number in [0, inf)"},
    {DATA "[train]\nclip = inf\n", NULL, "train.clip = inf", "a number in [0, inf)"},
    {DATA "[train]\nupdates = -1\n", NULL, "train.updates = -1", "[0, 1000000000]"},
    {DATA "[train]\nlr_peak = fast\n", NULL, "train.lr_peak = fast", "a number in [0, 100]"},
    {DATA "[model]\ndropout = 1\n", NULL, "model.dropout = 1", "[0, 1)"},
    {DATA "[model]\ndropout = -0.1\n", NULL, "model.dropout = -0.1", "[0, 1)"},
    {DATA "[model]\nnorm = before\n", NULL, "model.norm = before", "one of pre|post"},
    {DATA "[model]\ntie_embeddings = maybe\n", NULL, "tie_embeddings = maybe", "true or false"},
    {DATA "[model]\nmemory =\n", NULL, "model.memory", "separated by commas"},
    {DATA "[model]\nmemory = 8,,8\n", NULL, "model.memory = 8,,8", "separated by commas"},
    {DATA "[model]\nmemory = 8,8\n", NULL, "model.memory has 2 entries", "expected 1, or 6"},
    {DATA "[model]\ncompressed_memory = 8,8,8\n", NULL, "model.compressed_memory has 3 entries",
     "6"},
    {DATA "[model]\ndilations = 1,2,3,4,5,6,7,8,9\n", NULL, "model.dilations", "whole numbers"},
    {DATA "[model]\nwindow = 510\n", NULL, "run.ini: model.compression_rate = 4 does not divide",
     "model.window = 510"},
    {DATA "[model]\nlayers = 3\nmemory = 8, 10, 12\n", NULL, "model.memory = 10 of layer 1", "12"},
    {DATA "[model]\nheads = 3\n", NULL, "model.heads = 3 does not divide model.width = 512", ""},
    {DATA "[model]\nwidth = 9\nheads = 3\n", NULL, "model.width = 9 is odd", ""},
    {DATA "[model]\ncompression = mean\n", NULL, "set model.compression_loss = none", ""},
    {DATA "[model]\ncompression = max\ncompression_loss = autoencoding\n", NULL,
     "set model.compression_loss = none", ""},
    {DATA "[model]\ncompression_loss = task\n", NULL, "train.update_every = 1, expected more than",
     "model.bptt_windows = 1"},
    {"[batch]\nrows = 2\n", NULL, "run.ini: data.path is missing", "palimpsest prepare"},
    {"[data]\npath =\n", NULL, "run.ini:2: data.path = ", "a file name"},
    {DATA "[train]\ntype = float16\n", NULL, "train.type = float16", "float32|bfloat16"},
    {DATA "[checkpoint]\nkeep = 1\n", NULL, "checkpoint.keep = 1", "[2, 1000000]"},
    {DATA "[parallel]\nthreads = 0\n", NULL, "parallel.threads = 0", "auto, or a whole number"},
    {DATA, "batch.rows", "--set batch.rows", "section.key=value"},
    {DATA, "rows=3", "--set rows=3", "section.key=value"},
    {DATA, "batch.rwos=3", "--set: unknown key batch.rwos", "batch.rows?"},
    {DATA, "batch.rows=0", "--set: batch.rows = 0", "[1, 1048576]"},
    {DATA, "model.window=6", "model.compression_rate = 4 does not divide model.window = 6", "8"},
};

static void wrong_text_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Config config;
        status_set_message("");
        Status status = config_parse_text(&config, refused[i].text, "run.ini", &refused[i].set,
                                          refused[i].set != NULL);
        if (status != PAL_ERROR_CONFIG || strstr(status_message(), refused[i].piece) == NULL ||
            strstr(status_message(), refused[i].other) == NULL)
            fail_msg("case %zu: status %d, message '%s', expected '%s' and '%s'", i, (int)status,
                     status_message(), refused[i].piece, refused[i].other);
    }
}

/* Without compressed memory nothing about compression matters; with it these are allowed. */
static void these_are_allowed(void **state)
{
    (void)state;
    static const char *const allowed[] = {
        DATA "[model]\ncompressed_memory = 0\nwindow = 7\nmemory = 5\ncompression = mean\n",
        DATA "[model]\ncompressed_memory = 0\ncompression_loss = task\n",
        DATA "[model]\ncompressed_memory = 0\nmemory = 0\n",
        DATA "[model]\ncompression = most_used\ncompression_loss = none\n",
        DATA "[model]\ncompression_loss = task\n[train]\nupdate_every = 2\n",
        DATA "[model]\ncompression_loss = none\n",
        DATA "[model]\nmemory = 512,512,512,512,512,512\n",
        DATA "[train]\nupdates = 0\nseed = 9007199254740992\n",
        DATA "[device]\nname = cpu\n[parallel]\npipeline = 3\ntensor = auto\n",
        "\xef\xbb\xbf" DATA,
        "[data]\r\npath = data.h5\r\n",
        "[data] ; comment\npath = data.h5\n[batch]# comment\n[train] \t\r\nupdates = 3\n",
    };
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        Config config;
        Status status = config_parse_text(&config, allowed[i], "run.ini", NULL, 0);
        if (status != PAL_OK) fail_msg("case %zu: %s", i, status_message());
        assert_string_equal(config.data.path, "data.h5");
    }
}

static void assert_comes_back(const Config *config)
{
    Config again;
    char *text;
    assert_int_equal(config_text(config, &text), PAL_OK);
    Status status = config_parse_text(&again, text, "config.ini", NULL, 0);
    if (status != PAL_OK) fail_msg("%s\n%s", status_message(), text);
    assert_memory_equal(config, &again, sizeof again);
    free(text);
}

static void written_text_comes_back(void **state)
{
    (void)state;
    Config config;
    const char *sets[] = {"train.lr_start=0.1000000000000000055511151231257827",
                          "train.lr_peak=3.3333333333333335e-07",
                          "train.lr_end=4.9e-324",
                          "train.seed=1234567890123",
                          "parallel.threads=7",
                          "train.decay=55",
                          "model.layers=2",
                          "model.memory=8,12",
                          "model.compression=dilated",
                          "model.dilations=5",
                          "data.reset_memory=never",
                          "data.shuffle=false"};
    assert_int_equal(config_parse_text(&config, DATA, "run.ini", NULL, 0), PAL_OK);
    assert_comes_back(&config);
    assert_int_equal(config_parse_text(&config, DATA, "run.ini", sets, 12), PAL_OK);
    assert_comes_back(&config);

    /* A line longer than inih's buffer, and 256 numbers. */
    char *path = config.data.path;
    int length = snprintf(path, sizeof config.data.path, "/scratch");
    while (length < 4000) length += sprintf(path + length, "/some folder; here=x:y");
    config.model.layers = PAL_MAX_LAYERS;
    config.counts.memory = PAL_MAX_LAYERS;
    for (int l = 0; l < PAL_MAX_LAYERS; l++) config.model.memory[l] = 1000 + 4 * l;
    assert_int_equal(config_check(&config), PAL_OK);
    assert_comes_back(&config);
}

static void paths_that_cannot_come_back_are_refused(void **state)
{
    (void)state;
    Config config;
    config_defaults(&config);
    assert_int_equal(config_set(&config, "data.path=a ;b"), PAL_ERROR_CONFIG);
    assert_int_equal(config_set(&config, "data.path=;b"), PAL_ERROR_CONFIG);
    assert_int_equal(config_set(&config, "data.path=a\nb"), PAL_ERROR_CONFIG);
    assert_int_equal(config_set(&config, "data.path=a "), PAL_ERROR_CONFIG);
    assert_int_equal(config_set(&config, "data.path=a;b=c # d"), PAL_OK);
    assert_int_equal(config_check(&config), PAL_OK);
    assert_comes_back(&config);
}

static void files_are_read(void **state)
{
    (void)state;
    char folder[256], path[512];
    Config config;
    assert_true(temporary_folder(folder));
    in_folder(folder, "run.ini", path);
    assert_int_equal(config_read(&config, path, NULL, 0), PAL_ERROR_NO_INPUT);
    assert_non_null(strstr(status_message(), "run.ini"));
    assert_int_equal(config_read(&config, folder, NULL, 0), PAL_ERROR_NO_INPUT);
    assert_true(write_text(path, DATA "[batch]\nrows = 5"));
    assert_int_equal(config_read(&config, path, NULL, 0), PAL_OK);
    assert_int_equal(config.batch.rows, 5);
    assert_true(write_text(path, ""));
    assert_int_equal(config_read(&config, path, NULL, 0), PAL_ERROR_CONFIG);
    assert_int_equal(mkfifo(in_folder(folder, "pipe.ini", path), 0666), 0);
    assert_int_equal(config_read(&config, path, NULL, 0), PAL_ERROR_CONFIG);
    assert_non_null(strstr(status_message(), "is a pipe"));
    remove_folder(folder);
}

static void help_names_every_key(void **state)
{
    (void)state;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    config_print_help(out);
    fclose(out);
    assert_non_null(strstr(text, "most_used"));
    assert_non_null(strstr(text, "[checkpoint]"));
    assert_non_null(strstr(text, "must be given"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(these_are_allowed),
        cmocka_unit_test(written_text_comes_back),
        cmocka_unit_test(paths_that_cannot_come_back_are_refused),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(help_names_every_key),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
