/* SPDX-License-Identifier: Apache-2.0
 *
 * What the test_io_*.c share: a temporary folder, small files, a file system that is full.
 */
#ifndef PAL_TEST_IO_SUPPORT_H
#define PAL_TEST_IO_SUPPORT_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* A new empty folder; its name lies in `folder`. */
static inline bool temporary_folder(char folder[256])
{
    const char *place = getenv("TMPDIR");
    snprintf(folder, 256, "%s/palimpsest-test-XXXXXX", place != NULL ? place : "/tmp");
    return mkdtemp(folder) != NULL;
}

/* With everything in it. */
static inline void remove_folder(const char *folder)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        char path[1280];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%.1000s/%.255s", folder, entry->d_name);
        if (unlink(path) != 0) remove_folder(path);
    }
    if (entries != NULL) closedir(entries);
    (void)rmdir(folder);
}

static inline const char *in_folder(const char *folder, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", folder, name);
    return path;
}

static inline bool write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) return false;
    size_t length = strlen(text);
    bool good = fwrite(text, 1, length, file) == length;
    return fclose(file) == 0 && good;
}

static inline bool path_exists(const char *path) { return access(path, F_OK) == 0; }

/* A file system of `size` ("256k") in folder; false where this is not allowed. */
static inline bool small_disk(const char *folder, const char *size)
{
    char options[64];
    snprintf(options, sizeof options, "size=%s", size);
    if (mkdir(folder, 0777) != 0) return false;
    return mount("tmpfs", folder, "tmpfs", 0, options) == 0;
}

static inline void remove_small_disk(const char *folder) { (void)umount2(folder, MNT_DETACH); }

#endif
