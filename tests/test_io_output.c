/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole files or none: leftovers, files of others, a second writer, a full disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/dataset.h"
#include "io/metrics.h"
#include "io/output.h"
#include "src/base/log.h"
#include "tests/test_io_books.h"

static char folder[256];

static int set_up(void **state)
{
    (void)state;
    if (!temporary_folder(folder)) return -1;
    write_books(folder);
    char path[512];
    if (!write_text(in_folder(folder, "long.txt", path), "so long that a small disk is full"))
        return -1;
    return truncate(path, 3000000);
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* What a killed prepare left behind is overwritten, however long it was. */
static void leftovers_are_overwritten(void **state)
{
    (void)state;
    char path[512];
    in_folder(folder, "again.h5.part", path);
    assert_true(write_text(path, "half a file"));
    assert_int_equal(truncate(path, 1 << 20), 0);
    assert_int_equal(prepare_named(folder, "books", "again.h5", NULL), PAL_OK);
    assert_false(path_exists(path));

    Dataset *data;
    struct stat found;
    in_folder(folder, "again.h5", path);
    assert_int_equal(stat(path, &found), 0);
    assert_true(found.st_size < 1 << 20);
    assert_int_equal(dataset_open(&data, path, 1), PAL_OK);
    dataset_close(&data);
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
        Status status = prepare_named(folder, "books", "twice.h5", NULL);
        bool said = strstr(status_message(), "another process is writing it") != NULL;
        _exit(status == PAL_ERROR_BUSY && said ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(other, &result, 0), other);
    assert_int_equal(result, 0);
    assert_int_equal(stat(part, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_size, before.st_size);
    assert_int_equal(h5_publish(&file, path), PAL_OK);
    assert_false(path_exists(part));
    assert_int_equal(prepare_named(folder, "books", "twice.h5", NULL), PAL_OK);
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
        Status status = prepare_named(folder, "long.txt", output, NULL);
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
    Status opened = metrics_open(&metrics, in_folder(folder, "disk/metrics.jsonl", path));
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
    Status closed = metrics_close(&metrics);
    remove_small_disk(disk);
    assert_int_equal(result, 0);
    assert_false(left);
    assert_int_equal(opened, PAL_OK);
    assert_int_equal(status, PAL_OK); /* a run goes on without its lines */
    assert_refused(closed, PAL_ERROR_IO, "lines could not be written");
    assert_int_equal(last, '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leftovers_are_overwritten),
        cmocka_unit_test(other_files_are_not_replaced),
        cmocka_unit_test(two_processes_do_not_write_one_file),
        cmocka_unit_test(a_full_disk_is_reported),
    };
    log_set_rank(0, false);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
