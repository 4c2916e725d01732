/* SPDX-License-Identifier: Apache-2.0
 *
 * metrics.jsonl: one object a line, numbers that come back, one writer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sys/wait.h>

#include "io/metrics.h"
#include "src/base/log.h"
#include "tests/test_io_books.h"

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    if (!temporary_folder(folder)) return -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void metrics_are_json_lines(void **state)
{
    (void)state;
    char path[512], text[512] = "";
    Metrics *metrics;
    assert_int_equal(metrics_open(&metrics, in_folder(folder, "m.jsonl", path)), PAL_OK);
    assert_string_equal(metrics_line(metrics), "");
    metrics_begin(metrics, "train");
    metrics_integer(metrics, "update", INT64_MAX);
    metrics_number(metrics, "loss", 0.1);
    metrics_number(metrics, "ratio", 1.0 / 3.0);
    metrics_number(metrics, "nan", (double)NAN);
    metrics_text(metrics, "text", "a\"b\\c\n\xc3\xa4");
    metrics_text(metrics, "bytes", "\xff|\xc3|\xe2\x82\xac|\xed\xa0\x80|\xf0\x9f\x90\x8b|\xe2\x82");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    const char *line = "{\"kind\": \"train\", \"update\": 9223372036854775807, \"loss\": 0.1, "
                       "\"ratio\": 0.3333333333333333, \"nan\": null, "
                       "\"text\": \"a\\\"b\\\\c\\u000a\xc3\xa4\", "
                       "\"bytes\": \"\\ufffd|\\ufffd|\xe2\x82\xac|\\ufffd\\ufffd\\ufffd|"
                       "\xf0\x9f\x90\x8b|\\ufffd\\ufffd\"}";
    assert_string_equal(metrics_line(metrics), line);
    assert_int_equal(metrics_close(&metrics), PAL_OK);

    assert_int_equal(metrics_open(&metrics, path), PAL_OK);
    metrics_begin(metrics, "x");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    assert_int_equal(metrics_close(&metrics), PAL_OK);
    FILE *file = fopen(path, "rb");
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_int_equal(length, strlen(line) + 1 + strlen("{\"kind\": \"x\"}\n"));
    assert_string_equal(text + strlen(line), "\n{\"kind\": \"x\"}\n");

    assert_int_equal(metrics_open(&metrics, NULL), PAL_OK);
    metrics_begin(metrics, "y");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    assert_string_equal(metrics_line(metrics), "{\"kind\": \"y\"}");
    assert_int_equal(metrics_close(&metrics), PAL_OK);
    assert_refused(metrics_open(&metrics, in_folder(folder, "no/m", path)), PAL_ERROR_CANT_CREATE,
                   "no/m");
}

static void write_line(Metrics *metrics, const char *kind, int64_t update, int64_t rewinds)
{
    metrics_begin(metrics, kind);
    metrics_integer(metrics, "update", update);
    if (rewinds > 0) metrics_integer(metrics, "rewinds", rewinds);
    assert_int_equal(metrics_end(metrics), PAL_OK);
}

/* Lines that stay when a run goes on from this place. */
static int lines_kept(MetricsPlace place)
{
    char path[512];
    Metrics *metrics;
    assert_int_equal(metrics_open(&metrics, in_folder(folder, "kept.jsonl", path)), PAL_OK);
    assert_int_equal(metrics_keep(metrics, (MetricsPlace){-1, -1, 0}), PAL_OK);
    write_line(metrics, "train", 4, 0);
    write_line(metrics, "evaluate", 4, 0);
    write_line(metrics, "train", 5, 0);
    write_line(metrics, "rewind", 5, 1);
    write_line(metrics, "rewind", 5, 2);
    write_line(metrics, "train", 6, 0);
    assert_int_equal(metrics_keep(metrics, place), PAL_OK);
    assert_int_equal(metrics_close(&metrics), PAL_OK);
    int lines = 0;
    FILE *file = fopen(path, "r");
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

static void what_comes_after_a_place_is_removed(void **state)
{
    (void)state;
    assert_int_equal(lines_kept((MetricsPlace){6, 4, 0}), 6);
    assert_int_equal(lines_kept((MetricsPlace){5, 4, 2}), 5);
    assert_int_equal(lines_kept((MetricsPlace){5, 4, 1}), 4);
    assert_int_equal(lines_kept((MetricsPlace){5, 4, 0}), 3);
    assert_int_equal(lines_kept((MetricsPlace){4, 0, 0}), 1);
    assert_int_equal(lines_kept((MetricsPlace){-1, -1, 0}), 0);
}

static void two_processes_do_not_write_one_metrics_file(void **state)
{
    (void)state;
    char path[512];
    Metrics *metrics;
    assert_int_equal(metrics_open(&metrics, in_folder(folder, "both.jsonl", path)), PAL_OK);
    metrics_begin(metrics, "kept");
    assert_int_equal(metrics_end(metrics), PAL_OK);
    pid_t other = fork();
    if (other == 0) {
        Metrics *second;
        Status status = metrics_open(&second, path);
        _exit(status == PAL_ERROR_BUSY && strstr(status_message(), "another process") != NULL ? 0
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
        cmocka_unit_test(metrics_are_json_lines),
        cmocka_unit_test(what_comes_after_a_place_is_removed),
        cmocka_unit_test(two_processes_do_not_write_one_metrics_file),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
