/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* fallocate */
#include "io/h5_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/h5_internal.h"
#include "io/publish.h"
#include "mpi/collectives.h"

static pthread_mutex_t in_hdf5 = PTHREAD_MUTEX_INITIALIZER;

void h5_enter(void) { pthread_mutex_lock(&in_hdf5); }
void h5_leave(void) { pthread_mutex_unlock(&in_hdf5); }

/* True for the rank that does what is done once. */
static bool acts(const H5File *file) { return file->group == NULL || group_is_root(file->group); }

const char *h5_path(const H5File *file) { return file->path; }

const Group *h5_group(const H5File *file) { return file->group; }

/* Collective over the group. A group of one works alone. */
static Status file_allocate(H5File **file, const char *path, const Group *group, bool writing)
{
    *file = NULL;
    H5File *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    Status status = PAL_OK;
    if (f == NULL || copy == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    if (group != NULL) status = group_agree(group, status);
    if (status != PAL_OK) {
        free(f);
        free(copy);
        return status;
    }
    PAL_ASSERT(f != NULL && copy != NULL);
    f->path = copy;
    f->id = -1;
    f->lock = -1;
    f->group = group != NULL && group->size > 1 ? group : NULL;
    f->writing = writing;
    *file = f;
    h5_silence();
    return PAL_OK;
}

static void file_free(H5File **file)
{
    h5_unlock(*file);
    free((*file)->path);
    free(*file);
    *file = NULL;
}

/* Whether ranks go through MPI-IO: those that write a file together. For reading every rank opens
 * it by itself: Open MPI's own MPI-IO has been seen to call a read that failed a success. */
bool h5_by_mpi(const H5File *file) { return file->group != NULL && file->writing; }

/* How files are accessed: format of HDF5 1.8 (checksums on all of HDF5's own structures), no locks
 * (many cluster file systems have none), no sieve buffer (a write reaches the disk, or fails, at
 * once), everything closed with the file. */
static hid_t access_properties(const H5File *file)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return -1;
    bool good = H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
                H5Pset_sieve_buf_size(access, 0) >= 0 &&
                H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    good = good && H5Pset_file_locking(access, false, true) >= 0;
#endif
    if (h5_by_mpi(file))
        good = good && H5Pset_fapl_mpio(access, file->group->comm, MPI_INFO_NULL) >= 0 &&
               H5Pset_all_coll_metadata_ops(access, true) >= 0;
    if (good) return access;
    H5Pclose(access);
    return -1;
}

/* The system says more clearly than HDF5 why a file cannot be had. What is no regular file is not
 * opened at all: that could wait for ever. */
static Status check_readable(const char *path)
{
    struct stat found;
    if (stat(path, &found) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    if (S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: is a folder, expected an HDF5 file", path);
    if (!S_ISREG(found.st_mode))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is a pipe, a device or the like, expected an HDF5 file; give its own name",
                 path);
    int file = open(path, O_RDONLY);
    if (file < 0) PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    close(file);
    if (found.st_size == 0) PAL_FAIL(PAL_ERROR_DATA, "%s: is empty, expected an HDF5 file", path);
    return PAL_OK;
}

/* Collective over the file's group: one rank makes the file, where all can see it. A file that was
 * there before is not this program's to remove if it cannot be replaced. */
static Status make_file(H5File *f)
{
    bool existed = acts(f) && access(f->path, F_OK) == 0;
    if (f->group != NULL) group_broadcast(f->group, &existed, sizeof existed, 0);
    PAL_TRY(h5_agree(f, acts(f) ? h5_lock(f) : PAL_OK));
    f->made = !existed;
    return f->group != NULL ? publish_seen(f->path, f->group) : PAL_OK;
}

Status h5_create(H5File **file, const char *path, const Group *group)
{
    PAL_TRY(file_allocate(file, path, group, true));
    H5File *f = *file;
    Status status = make_file(f);
    if (status == PAL_OK) {
        hid_t properties = access_properties(f);
        hid_t creation = h5_untimed(H5P_FILE_CREATE);
        if (properties >= 0 && creation >= 0)
            f->id = H5Fcreate(path, H5F_ACC_TRUNC, creation, properties);
        if (f->id < 0) status = h5_fail(path, PAL_ERROR_CANT_CREATE, "cannot be created");
        if (creation >= 0) H5Pclose(creation);
        if (properties >= 0) H5Pclose(properties);
        status = h5_agree(f, status);
        if (status == PAL_OK) f->made = true;
    }
    if (status != PAL_OK) h5_abandon(file);
    return status;
}

static Status open_checked(H5File *f)
{
    hid_t properties = access_properties(f);
    f->id = properties < 0 ? -1 : H5Fopen(f->path, H5F_ACC_RDONLY, properties);
    Status status = PAL_OK;
    if (f->id < 0)
        status = h5_fail(f->path, PAL_ERROR_DATA,
                         "is not a whole HDF5 file (cut short, damaged, or of another kind)");
    if (properties >= 0) H5Pclose(properties);
    return status;
}

Status h5_open(H5File **file, const char *path, const Group *group)
{
    PAL_TRY(file_allocate(file, path, group, false));
    H5File *f = *file;

    Status status = h5_agree(f, check_readable(path));
    if (status == PAL_OK) status = h5_agree(f, open_checked(f));
    if (status != PAL_OK) h5_abandon(file);
    return status;
}

void h5_discard(const H5File *file)
{
    /* Emptying may wait for what is on its way to the disk; if the process is killed meanwhile,
     * nothing is left all the same. */
    if (acts(file)) {
        unlink(file->path);
        int emptied = ftruncate(file->lock, 0);
        (void)emptied; /* the end of the process would do it too */
    }
    if (file->group != NULL) group_barrier(file->group);
}

/* Local. 0, or the errno of why not. Where nothing can be promised, there should at least be room
 * now. */
static int reserve_blocks(const char *path, int64_t first, int64_t bytes)
{
    int file = open(path, O_WRONLY);
    if (file < 0) return errno;
    int reason;
    do reason = fallocate(file, FALLOC_FL_KEEP_SIZE, first, bytes) == 0 ? 0 : errno;
    while (reason == EINTR); /* signals are requests here, see base/stop.h */
    struct statvfs disk;
    if ((reason == EOPNOTSUPP || reason == ENOSYS) && fstatvfs(file, &disk) == 0)
        reason = (uint64_t)disk.f_bavail * disk.f_frsize < (uint64_t)bytes ? ENOSPC : 0;
    close(file);
    return reason;
}

Status h5_reserve(H5File *f, int64_t bytes)
{
    Status status = PAL_OK;
    if (bytes > 0 && acts(f)) {
        int reason = reserve_blocks(f->path, f->reserved, bytes);
        if (reason != 0)
            status =
                PAL_FAILURE(PAL_ERROR_IO, "%s: cannot be written: %s", f->path, strerror(reason));
    }
    if (bytes > 0) f->reserved += bytes;
    return h5_agree(f, status);
}

void h5_abandon(H5File **file)
{
    H5File *f = *file;
    if (f == NULL) return;
    char message[2048];
    snprintf(message, sizeof message, "%s", status_message());

    if (f->made && !f->broken) h5_discard(f);
    /* When writing failed on some ranks only, H5Fclose() would wait for the others for ever. Such a
     * file stays open, empty and without a name, to the end of the process. */
    bool stuck = f->broken && f->group != NULL;
    if (f->id >= 0 && !stuck) (void)H5Fclose(f->id);
    file_free(file);
    status_set_message(message);
}

static Status flush(H5File *f)
{
    haddr_t size = 0;
    Status status = PAL_OK;
    if (f->group == NULL && H5Fget_eoa(f->id, &size) < 0)
        status = h5_fail(f->path, PAL_ERROR_IO, "its size is unknown");
    PAL_TRY(h5_agree(f, status));
    PAL_TRY(h5_reserve(f, (int64_t)size - f->reserved));
    if (H5Fflush(f->id, H5F_SCOPE_GLOBAL) < 0)
        status = h5_fail(f->path, PAL_ERROR_IO, "cannot be written");
    return h5_agree(f, status);
}

/* HDF5 is done with the file; the lock is still held. */
static Status finish(H5File *f)
{
    Status status = PAL_OK;
    if (f->broken)
        status = PAL_FAILURE(PAL_ERROR_IO, "%s: was not written whole", f->path);
    else if (f->writing)
        status = flush(f);
    if (status == PAL_OK) {
        if (H5Fclose(f->id) < 0) status = h5_fail(f->path, PAL_ERROR_IO, "cannot be closed");
        f->id = -1;
        status = h5_agree(f, status);
    }
    return status;
}

static Status end(H5File **file, Status status)
{
    if (status != PAL_OK)
        h5_abandon(file);
    else
        file_free(file);
    return status;
}

Status h5_seal(H5File *file)
{
    Status status = finish(file);
    file->sealed = status == PAL_OK;
    return status;
}

Status h5_close(H5File **file) { return *file == NULL ? PAL_OK : end(file, finish(*file)); }

Status h5_publish(H5File **file, const char *path)
{
    H5File *f = *file;
    Status status = f->sealed ? PAL_OK : finish(f);
    if (status == PAL_OK) status = h5_agree(f, acts(f) ? publish_file(f->path, path) : PAL_OK);
    return end(file, status);
}
