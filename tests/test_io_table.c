/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables as CSV, read back by a plain reading of RFC 4180, and as HTML.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/table.h"
#include "io/whole_file.h"
#include "tests/test_io_support.h"

static const char *const columns[] = {"name", "a_count", "a,number"};

static void fill(Table *table)
{
    table_create(table, "small", columns, 3);
    table_text(table, "plain");
    table_integer(table, 123456789012345);
    table_number(table, 0.1);
    table_text(table, "a \"quoted\", <b> & c\nnext line");
    table_integer(table, -1);
    table_number(table, 1.0 / 3.0);
    table_text(table, "");
    table_empty(table);
    table_number(table, NAN);
}

static void csv_has_every_bit_and_quotes(void **state)
{
    (void)state;
    char folder[256], path[512];
    Table table;
    JsonText found = {0};
    assert_true(temporary_folder(folder));
    fill(&table);
    assert_int_equal(table_write(&table, folder), PAL_OK);
    assert_int_equal(whole_file_read(in_folder(folder, "small.csv", path), &found), PAL_OK);
    assert_string_equal(found.text,
                        "name,a_count,\"a,number\"\n"
                        "plain,123456789012345,0.1\n"
                        "\"a \"\"quoted\"\", <b> & c\nnext line\",-1,0.3333333333333333\n"
                        ",,\n");
    assert_false(path_exists(in_folder(folder, "small.csv.part", path)));
    free(found.text);
    table_destroy(&table);
    remove_folder(folder);
}

static void html_escapes_and_rounds(void **state)
{
    (void)state;
    Table table;
    JsonText html = {0};
    fill(&table);
    table_html(&table, &html);
    assert_non_null(strstr(html.text, "<th>a count</th>"));
    assert_non_null(strstr(html.text, "a &quot;quoted&quot;, &lt;b&gt; &amp; c"));
    assert_non_null(strstr(html.text, "<td>123456789012345</td><td>0.1000</td>"));
    assert_non_null(strstr(html.text, "<td></td><td></td></tr>"));
    free(html.text);
    table_destroy(&table);
}

static void what_cannot_be_written_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    char folder[256], disk[512], path[1024];
    Table table;
    assert_true(temporary_folder(folder));
    fill(&table);
    assert_int_equal(table_write(&table, in_folder(folder, "missing", disk)),
                     PAL_ERROR_CANT_CREATE);
    in_folder(folder, "disk", disk);
    if (small_disk(disk, "4k")) {
        for (int i = 0; i < 1000; i++)
            for (int c = 0; c < 3; c++) table_number(&table, i + 0.1);
        assert_int_equal(table_write(&table, disk), PAL_ERROR_IO);
        snprintf(path, sizeof path, "%s/small.csv", disk);
        assert_false(path_exists(path));
        snprintf(path, sizeof path, "%s/small.csv.part", disk);
        assert_false(path_exists(path));
        remove_small_disk(disk);
    }
    table_destroy(&table);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_has_every_bit_and_quotes),
        cmocka_unit_test(html_escapes_and_rounds),
        cmocka_unit_test(what_cannot_be_written_is_an_error_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
