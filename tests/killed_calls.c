/* SPDX-License-Identifier: Apache-2.0
 *
 * Loaded before the C library (LD_PRELOAD): the process is killed at one of the calls that change
 * names in a folder, or cut a file there.
 *
 *     KILLED_FOLDER=/tmp/run      part of the path
 *     KILLED_CALL=3               so many such calls are made before
 *     KILLED_SIGNAL=19            absent: 9, SIGKILL
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static void count(const char *path)
{
    static atomic_int calls;
    const char *part = getenv("KILLED_FOLDER"), *number = getenv("KILLED_CALL");
    const char *wanted = getenv("KILLED_SIGNAL");
    if (part == NULL || number == NULL || strstr(path, part) == NULL) return;
    if (atomic_fetch_add(&calls, 1) == atoi(number))
        kill(getpid(), wanted != NULL ? atoi(wanted) : SIGKILL);
}

static void count_file(int file)
{
    char entry[64], name[4096];
    snprintf(entry, sizeof entry, "/proc/self/fd/%d", file);
    ssize_t length = readlink(entry, name, sizeof name - 1);
    name[length > 0 ? length : 0] = '\0';
    count(name);
}

int rename(const char *old, const char *new)
{
    static int (*real)(const char *, const char *);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "rename");
    count(new);
    return real(old, new);
}

int mkdir(const char *path, mode_t mode)
{
    static int (*real)(const char *, mode_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "mkdir");
    count(path);
    return real(path, mode);
}

int symlink(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "symlink");
    count(to);
    return real(from, to);
}

int unlink(const char *name)
{
    static int (*real)(const char *);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "unlink");
    count(name);
    return real(name);
}

int unlinkat(int fd, const char *name, int flag)
{
    static int (*real)(int, const char *, int);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "unlinkat");
    count_file(fd); /* the name alone does not say where it is */
    return real(fd, name, flag);
}

int ftruncate(int fd, off_t length)
{
    static int (*real)(int, off_t);
    if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "ftruncate");
    count_file(fd);
    return real(fd, length);
}
