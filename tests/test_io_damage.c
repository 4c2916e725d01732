/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoints cut short, with flipped bytes, on a full disk: nothing wrong is taken for right, and
 * nothing good is lost.
 */
#include <stdlib.h>

#include "mpi/collectives.h"
#include "tests/checkpoint_fixture.h"
#include "tests/test_io_support.h"

static void truncated_files_are_refused(void **state)
{
    (void)state;
    char path[PAL_PATH_SIZE] = "";
    expect(save(file_name("cut"), 3, path) == PAL_OK, "save");
    struct stat whole = {0};
    expect(stat(path, &whole) == 0, "stat");
    for (int64_t size = whole.st_size - 1; size > 0; size -= 1 + whole.st_size / 50) {
        group_barrier(&grid.world);
        if (is_root()) expect(truncate(path, size) == 0, "truncate");
        group_barrier(&grid.world);
        Checkpoint *c = NULL;
        expect_refused(checkpoint_open(&c, path, &grid.world), PAL_ERROR_DATA, "step-00000003.h5");
        checkpoint_close(&c);
    }
    end_test();
}

/* What can be read of a file, in one list of bytes: the caller frees. NULL: damage was noticed. */
static char *all_content(const char *path, size_t *size)
{
    Checkpoint *c = NULL;
    H5Item *items = NULL;
    int64_t count = 0;
    char *content = NULL;
    *size = 0;
    Status status = checkpoint_open(&c, path, NULL);
    if (status == PAL_OK) status = checkpoint_verify(c, "/", NULL);
    if (status == PAL_OK) status = h5_list(c->file, &items, &count);
    FILE *out = open_memstream(&content, size);
    for (int64_t i = 0; i < count && status == PAL_OK; i++) {
        const Slab whole = shape_slab(items[i].shape);
        fprintf(out, "%s %s %lld;", items[i].name, items[i].type, (long long)items[i].bytes);
        if (strcmp(items[i].type, "text") == 0) {
            char **texts = NULL;
            int64_t num_texts = 0;
            status = h5_read_texts(c->file, items[i].name, &texts, &num_texts);
            for (int64_t j = 0; j < num_texts && status == PAL_OK; j++)
                fprintf(out, "%s;", texts[j]);
            h5_texts_free(&texts, num_texts);
            continue;
        }
        char *numbers = calloc(1, (size_t)items[i].bytes + 1);
        StoredType type;
        status = h5_stored_type(c->file, items[i].name, &type);
        if (status == PAL_OK) status = h5_read_slab(c->file, items[i].name, type, &whole, numbers);
        fwrite(numbers, 1, (size_t)items[i].bytes, out);
        free(numbers);
    }
    if (status == PAL_OK)
        fprintf(out, "%s %lld %lld %s", c->state.configuration, (long long)c->state.update,
                (long long)c->state.tokens, c->program_version);
    fclose(out);
    h5_items_free(&items, count);
    checkpoint_close(&c);
    if (status == PAL_OK) return content;
    free(content);
    return NULL;
}

static bool flip_byte(const char *path, long place)
{
    FILE *file = fopen(path, "r+b");
    if (file == NULL || fseek(file, place, SEEK_SET) != 0) return false;
    int byte = fgetc(file);
    bool good = byte != EOF && fseek(file, place, SEEK_SET) == 0 && fputc(byte ^ 0x10, file) != EOF;
    return fclose(file) == 0 && good;
}

/* One rank alone reads; all of the file's bytes would take long under the sanitizers. */
static void every_flipped_byte_is_found(void **state)
{
    (void)state;
    enum { SAMPLES = 200 };
    char path[PAL_PATH_SIZE] = "";
    expect(save(file_name("flipped"), 6, path) == PAL_OK, "save");
    struct stat is = {0};
    expect(stat(path, &is) == 0, "stat");
    int found = 0, idle = 0;
    size_t size = 0;
    char *before = is_root() ? all_content(path, &size) : NULL;
    for (int i = 0; is_root() && i < SAMPLES; i++) {
        long place = (long)((double)is.st_size * (i + 0.37) / SAMPLES);
        size_t now_size;
        expect(flip_byte(path, place), "flip");
        char *now = all_content(path, &now_size);
        bool same =
            before != NULL && now != NULL && now_size == size && memcmp(before, now, size) == 0;
        expect(now == NULL || same, "a flipped byte was not found");
        found += now == NULL;
        idle += same;
        free(now);
        expect(flip_byte(path, place), "flip back");
    }
    if (is_root()) {
        print_message("%d flipped bytes of %lld: %d found, %d in places that carry nothing\n",
                      SAMPLES, (long long)is.st_size, found, idle);
        char *after = all_content(path, &size);
        expect(after != NULL, "whole again");
        free(after);
    }
    expect(!is_root() || found > SAMPLES / 8, "some are found");
    free(before);
    end_test();
}

/* Leaves `room` bytes on the small disk, so that saving fails at one place after another. */
static bool fill_disk(const char *path, int64_t size)
{
    static const char zeros[1024];
    FILE *file = fopen(path, "wb");
    for (int64_t done = 0; file != NULL && done < size; done += 1024)
        if (fwrite(zeros, 1, 1024, file) != 1024) break;
    return file != NULL && fclose(file) == 0;
}

static void a_full_disk_leaves_the_earlier_one(void **state)
{
    (void)state;
    enum { DISK = 128 * 1024 };
    char disk[512], run[600], filler[600], part[700], found[PAL_PATH_SIZE] = "";
    in_folder(fixture_folder, "disk", disk);
    snprintf(run, sizeof run, "%s/run", disk);
    snprintf(filler, sizeof filler, "%s/filler", disk);
    snprintf(part, sizeof part, "%s/checkpoints/step-00000002.h5.part", run);
    int mounted = is_root() && small_disk(disk, "128k");
    group_broadcast(&grid.world, &mounted, sizeof mounted, 0);
    if (!mounted) {
        if (is_root()) print_message("no small disk can be mounted here: left out\n");
        return;
    }
    expect(save(run, 1, NULL) == PAL_OK, "first save");
    int failures = 0;
    Status status = PAL_ERROR_IO;
    for (int64_t filled = DISK; filled >= 0 && status != PAL_OK; filled -= 4096) {
        if (is_root()) fill_disk(filler, filled);
        group_barrier(&grid.world);
        status = save(run, 2, NULL);
        if (status != PAL_OK) {
            failures++;
            expect(status == PAL_ERROR_IO || status == PAL_ERROR_CANT_CREATE, "status");
            expect(strstr(status_message(), "step-00000002.h5") != NULL, "message names the file");
            expect(!path_exists(part) && !step_exists(run, 2), "nothing is left behind");
            expect(checkpoint_find(run, found) == PAL_OK && strstr(found, "00000001") != NULL,
                   "the earlier one stays");
        }
        if (is_root()) unlink(filler);
        group_barrier(&grid.world);
    }
    expect(failures > 3, "the disk was too large to be full");
    expect(status == PAL_OK, "saving works again");
    Checkpoint *c = NULL;
    expect(checkpoint_open(&c, run, NULL) != PAL_OK, "a folder is no file");
    expect(checkpoint_find(run, found) == PAL_OK && checkpoint_open(&c, found, NULL) == PAL_OK,
           "open");
    checkpoint_close(&c);
    group_barrier(&grid.world);
    if (is_root()) remove_small_disk(disk);
    end_test();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(every_flipped_byte_is_found),
        cmocka_unit_test(a_full_disk_leaves_the_earlier_one),
    };
    return fixture_run(&argc, &argv, tests);
}
