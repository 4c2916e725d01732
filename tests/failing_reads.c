/* SPDX-License-Identifier: Apache-2.0
 *
 * Loaded before the C library (LD_PRELOAD): the disk gives an error for one read of a file.
 *
 *     FAILING_FILE=step-00000006.h5     part of the file's path
 *     FAILING_READ=3                    so many reads of it go well before
 *     FAILING_RANK=1                    on this rank alone; absent: on all
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static bool is_meant(int file)
{
    const char *part = getenv("FAILING_FILE"), *rank = getenv("FAILING_RANK");
    const char *own = getenv("OMPI_COMM_WORLD_RANK");
    char link[64], path[4096];
    if (part == NULL || (rank != NULL && strcmp(rank, own != NULL ? own : "0") != 0)) return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return false;
    path[length] = '\0';
    return strstr(path, part) != NULL;
}

static bool fails(int file)
{
    static int reads;
    const char *number = getenv("FAILING_READ");
    if (number == NULL || !is_meant(file) || reads++ != atoi(number)) return false;
    errno = EIO;
    return true;
}

ssize_t pread(int file, void *bytes, size_t count, off_t at)
{
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pread");
    return fails(file) ? -1 : real(file, bytes, count, at);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t at)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pread64");
    return fails(file) ? -1 : real(file, bytes, count, at);
}

ssize_t read(int file, void *bytes, size_t count)
{
    static ssize_t (*real)(int, void *, size_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "read");
    return fails(file) ? -1 : real(file, bytes, count);
}
