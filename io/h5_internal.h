/* SPDX-License-Identifier: Apache-2.0
 *
 * What the h5_*.c files share; nobody else includes this.
 */
#ifndef PAL_IO_H5_INTERNAL_H
#define PAL_IO_H5_INTERNAL_H

#include <hdf5.h>

#include "io/h5_file.h"

struct H5File {
    char *path;
    hid_t id;
    const Group *group; /* borrowed; NULL when opened alone */
    bool writing;
    bool made;        /* this program created the file, so it may remove it */
    int64_t reserved; /* bytes from the beginning that the file system has promised */
    bool sealed;      /* HDF5 has closed it */
    bool broken;      /* a write failed: what is on the disk is worth nothing */
    int lock;         /* descriptor that keeps other writers out; -1: this rank holds none */
};

/* Local. The file is accessed through MPI-IO, not by every rank alone. */
bool h5_by_mpi(const H5File *file);

/* Local, directly after the HDF5 call that failed, before any other. The message is
 * "PATH: what: reason", the reason being the system's (No space left on device) or HDF5's
 * innermost. A system's reason turns PAL_ERROR_DATA into PAL_ERROR_IO. */
Status h5_fail(const char *path, Status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Local. UTF-8 text of so many bytes, or H5T_VARIABLE; below zero when that fails. */
hid_t h5_text_type(size_t size);

/* Local. Properties of this class for making something that does not bear the time; -1: none. */
hid_t h5_untimed(hid_t class);
/* Collective over the file's group, whose ranks have the same outcome. Makes the groups above a
 * dataset where they are not there. */
bool h5_make_groups(const H5File *file, const char *name);

/* Local. HDF5's type in memory and in the file. */
hid_t h5_memory_type(StoredType type);
hid_t h5_file_type(StoredType type);

/* Local, by the one rank that acts: makes the file if it is not there, leaves what is in it, and
 * keeps other processes from writing it until h5_unlock(). Errors: PAL_ERROR_CANT_CREATE,
 * PAL_ERROR_BUSY. */
Status h5_lock(H5File *file);
/* Local. Fine without a lock. */
void h5_unlock(H5File *file);

/* Collective over the file's group. Empties and removes the file that is being written: HDF5
 * insists on writing what it still holds, and on the full disk that gives it the room. */
void h5_discard(const H5File *file);

/* Collective over the file's group. Asks the file system for so many bytes more, so that a full
 * disk shows here, where all ranks turn back together, and not within HDF5 and MPI-IO, which cannot
 * undo what they have begun and wait for each other for ever. Where there is no fallocate() it
 * looks at the free space instead. */
Status h5_reserve(H5File *file, int64_t bytes);

/* Local. Keeps HDF5 from printing its errors. */
void h5_silence(void);

#endif
