/* SPDX-License-Identifier: Apache-2.0
 *
 * One writer a file: two processes that write the same one would mix their bytes.
 *
 * HDF5, which opens and closes the file by itself, neither meets nor ends the lock (lock.h). NFS below
 * MPI-IO goes on without: MPI-IO locks whole files there and would wait for this program's own lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "io/h5_internal.h"
#include "io/lock.h"

/* The system says more clearly than HDF5 why a file cannot be had. */
static Status open_file(H5File *file)
{
    file->lock = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file->lock < 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: cannot be created: %s; choose a folder that exists, has room, and that you "
                 "may write to",
                 file->path, strerror(errno));
    return PAL_OK;
}

static bool locks_get_in_the_way(const H5File *file)
{
    enum { NFS = 0x6969 };
    struct statfs system;
    return file->group != NULL && fstatfs(file->lock, &system) == 0 && system.f_type == NFS;
}

/* Whoever wrote it before may have given it its final name between open() and the lock. */
static bool is_still_there(const H5File *file)
{
    struct stat opened, named;
    return fstat(file->lock, &opened) == 0 && stat(file->path, &named) == 0 &&
           opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Status h5_lock(H5File *file)
{
    enum { TRIES = 3 };
    for (int i = 0; i < TRIES; i++) {
        PAL_TRY(open_file(file));
        if (locks_get_in_the_way(file)) return PAL_OK;
        bool locked = lock_is_taken(file->lock);
        if (!locked && is_still_there(file)) return PAL_OK;
        h5_unlock(file);
        if (locked) break;
    }
    PAL_FAIL(PAL_ERROR_BUSY,
             "%s: another process is writing it; wait for its end, or give another name",
             file->path);
}

void h5_unlock(H5File *file)
{
    if (file->lock >= 0) close(file->lock);
    file->lock = -1;
}
