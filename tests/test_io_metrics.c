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
        cmocka_unit_test(metrics_are_json_lines),
        cmocka_unit_test(two_processes_do_not_write_one_metrics_file),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
