/* SPDX-License-Identifier: Apache-2.0 */
#include "io/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mpi/collectives.h"
#include "src/base/host.h"

Status make_folders(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "'%s': a folder's name has 1 to %zu characters", path,
                 sizeof part - 1);

    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        part[i] = '\0';
        struct stat found;
        if (mkdir(part, 0777) != 0 &&
            (errno != EEXIST || stat(part, &found) != 0 || !S_ISDIR(found.st_mode)))
            PAL_FAIL(PAL_ERROR_CANT_CREATE,
                     "%s: the folder cannot be made: %s; choose a place that you may write to",
                     part, errno == EEXIST ? "a file of this name is there" : strerror(errno));
        if (i < length) part[i] = '/';
    }
    return PAL_OK;
}

Status publish_temporary(const char *path, char *temporary, size_t size)
{
    int length = snprintf(temporary, size, "%s.part", path);
    if (length < 0 || (size_t)length >= size)
        PAL_FAIL(PAL_ERROR_USAGE, "%.60s...: the name is longer than %zu characters", path,
                 size - 6);
    return PAL_OK;
}

static int sync_and_close(int file)
{
    int result = fsync(file), reason = errno;
    if (close(file) != 0 && result == 0) return -1;
    errno = reason;
    return result;
}

static int sync_file(const char *path)
{
    int file = open(path, O_RDWR);
    return file < 0 ? -1 : sync_and_close(file);
}

/* Some file systems cannot sync a folder; their renames are ordered by themselves. */
static int sync_folder(int folder)
{
    int result = sync_and_close(folder);
    return result != 0 && errno == EINVAL ? 0 : result;
}

void publish_folder(const char *path, char *folder, size_t size)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(folder, size, ".");
    else
        snprintf(folder, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int open_folder_of(const char *path)
{
    char folder[PATH_MAX];
    publish_folder(path, folder, sizeof folder);
    return open(folder, O_RDONLY | O_DIRECTORY);
}

/* A node may remember for a while that a name was not there; opening the folder makes it look. */
static bool becomes_visible(const char *path)
{
    enum { TRIES = 10, PAUSE = 100000000 /* ns */ };
    char folder[PATH_MAX];
    publish_folder(path, folder, sizeof folder);
    for (int i = 0; i < TRIES; i++) {
        if (access(path, F_OK) == 0) return true;
        int look = open(folder, O_RDONLY | O_DIRECTORY);
        if (look >= 0) close(look);
        nanosleep(&(struct timespec){0, PAUSE}, NULL);
    }
    return false;
}

Status publish_seen(const char *path, const Group *group)
{
    Status status = PAL_OK;
    if (!becomes_visible(path)) {
        status = PAL_FAILURE(PAL_ERROR_CANT_CREATE,
                             "%s: rank 0 has made it, but rank %d on host %s does not see it; is "
                             "the folder on a file system that all nodes share?",
                             path, group->rank, host_name());
    }
    return group_agree(group, status);
}

bool publish_same_file(const char *a, const char *b)
{
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

Status publish_file(const char *temporary, const char *path)
{
    const char *failed = NULL;
    int folder = -1;
    if (sync_file(temporary) != 0)
        failed = "written to the disk";
    else if ((folder = open_folder_of(path)) < 0) /* before an earlier file of this name is gone */
        failed = "made sure of in its folder";
    else if (rename(temporary, path) != 0)
        failed = "given its name";
    if (failed != NULL) {
        int reason = errno;
        if (folder >= 0) close(folder);
        unlink(temporary);
        PAL_FAIL(PAL_ERROR_IO, "%s: the file could not be %s: %s", path, failed, strerror(reason));
    }
    if (sync_folder(folder) != 0)
        PAL_FAIL(PAL_ERROR_IO,
                 "%s: is written, but after a power failure it may not be there: its folder could "
                 "not be synced: %s",
                 path, strerror(errno));
    return PAL_OK;
}

Status publish_link(const char *target, const char *path)
{
    char temporary[PATH_MAX];
    PAL_TRY(publish_temporary(path, temporary, sizeof temporary));
    unlink(temporary);
    if (symlink(target, temporary) != 0 || rename(temporary, path) != 0) {
        int reason = errno;
        unlink(temporary);
        PAL_FAIL(PAL_ERROR_IO, "%s: cannot be pointed to %s: %s", path, target, strerror(reason));
    }
    int folder = open_folder_of(path);
    if (folder < 0 || sync_folder(folder) != 0)
        PAL_FAIL(PAL_ERROR_IO, "%s: its folder cannot be synced: %s", path, strerror(errno));
    return PAL_OK;
}
