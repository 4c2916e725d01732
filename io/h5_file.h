/* SPDX-License-Identifier: Apache-2.0
 *
 * HDF5 files, every call checked, every failure one message with the system's reason in it.
 *
 * A file is opened by one rank alone (group NULL, or of one rank) or by a group together, which
 * writes it through MPI-IO; reading is plain POSIX access by every rank. "Collective over the
 * file's group" is Local where it was opened alone; there all ranks return the same status, whoever
 * failed.
 * Names of datasets are paths ("/weights/embedding/table"); groups on the way are made.
 *
 * Status: PAL_ERROR_NO_INPUT file missing; PAL_ERROR_DATA not HDF5, cut short, or not holding what
 * was asked for; PAL_ERROR_CANT_CREATE; PAL_ERROR_IO disk full and the like.
 */
#ifndef PAL_IO_H5_FILE_H
#define PAL_IO_H5_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/slab.h"
#include "io/stored.h"
#include "mpi/grid.h"
#include "src/base/status.h"
#include "src/tensor/tensor.h"

typedef struct H5File H5File;

/* One dataset of a listing. */
typedef struct H5Item {
    char *name;
    Shape shape;
    char type[16]; /* "float32", "int64", "text", ... */
    int64_t bytes; /* numbers times their size */
} H5Item;

/* Local. HDF5 is for one thread at a time: who may meet a background thread in it
 * (io/checkpoint_saver) is between these two. */
void h5_enter(void);
void h5_leave(void);

/* Collective over the group; it must outlive the file. An existing file is replaced. Errors:
 * another process is writing it (PAL_ERROR_BUSY); not all ranks see it (PAL_ERROR_CANT_CREATE). */
Status h5_create(H5File **file, const char *path, const Group *group);
/* Collective over the group; it must outlive the file. For reading only. */
Status h5_open(H5File **file, const char *path, const Group *group);
/* Collective over the file's group; accepts NULL, sets NULL. What could not be written to the end
 * (disk full) is reported here at the latest, and such a file is removed. */
Status h5_close(H5File **file);
/* Collective over the file's group: what stands in the file now is written to the end, and HDF5 is
 * done with it; the caller may write the rest at the places that h5_place() gave. What follows is
 * h5_publish() or h5_abandon(). Error: as h5_close, and the file remains to be abandoned. */
Status h5_seal(H5File *file);
/* Collective over the file's group; sets NULL. As h5_close, and the file is called `path` from then
 * on, in one step, before anybody else can begin to write it under the old name. */
Status h5_publish(H5File **file, const char *path);
/* Collective over the file's group; accepts NULL, sets NULL. For the way out after a failure:
 * closes, removes the file if it was being created, and leaves status_message() as it is. */
void h5_abandon(H5File **file);

const char *h5_path(const H5File *file);   /* Local. */
const Group *h5_group(const H5File *file); /* Local. NULL: opened alone. */

/* Collective over the file's group: everyone gets the first failure. The first one of a file that
 * is being written ends its life on the disk. */
Status h5_agree(H5File *file, Status mine);

/* Collective over the file's group, same arguments on every rank: makes a dataset, without data. */
Status h5_define(H5File *file, const char *name, StoredType type, Shape shape);
/* Local, on a file opened alone: the same, and *place is where in the file its numbers will stand,
 * row-major and without gaps; 0 when it has none. */
Status h5_place(H5File *file, const char *name, StoredType type, Shape shape, int64_t *place);
/* Collective over the file's group. Every rank writes its own slab, empty where a count is 0; slabs
 * of different ranks are disjoint. `data` has the slab's elements, row-major. */
Status h5_write_slab(H5File *file, const char *name, StoredType type, const Slab *slab,
                     const void *data);
/* Collective over the file's group: define, and the first rank writes all of it. */
Status h5_write(H5File *file, const char *name, StoredType type, Shape shape, const void *data);

/* Collective over the file's group; every rank reads its own slab. */
Status h5_read_slab(H5File *file, const char *name, StoredType type, const Slab *slab, void *data);
/* The same for any number of boxes; their elements box after box in `data`. */
Status h5_read_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                     void *data);

/* Collective over the file's group; every rank reads its own slabs, one at a time, and `look`
 * (local) sees each of them: its number and its bytes. */
typedef Status (*SlabVisitor)(void *context, int number, const void *bytes, size_t count);
Status h5_visit_slabs(H5File *file, const char *name, StoredType type, const Slab *slabs, int count,
                      SlabVisitor look, void *context);
/* Collective over the file's group; one rank reads all of it for everyone, so all have the same.
 * `shape` is what the caller expects; otherwise PAL_ERROR_DATA with both shapes. */
Status h5_read(H5File *file, const char *name, StoredType type, Shape shape, void *data);

/* Collective over the file's group. */
Status h5_shape(H5File *file, const char *name, Shape *shape);
/* Collective over the file's group. Whether there is a group (a folder) or dataset of this name. */
Status h5_has(H5File *file, const char *name, bool *has);
/* Collective over the file's group. How the numbers stand in the file. Error (PAL_ERROR_DATA): none
 * of the types that this program writes. */
Status h5_stored_type(H5File *file, const char *name, StoredType *type);
/* Local: all that HDF5 keeps for itself (names, shapes, places, attributes, and what they need) is
 * read once, so that its checksums are looked at. Error: PAL_ERROR_DATA. */
Status h5_check_structure(const H5File *file);
/* Local, on a file opened alone: all datasets, by name. Free with h5_items_free. */
Status h5_list(H5File *file, H5Item **items, int64_t *count);
void h5_items_free(H5Item **items, int64_t count);

/* Collective over the file's group, same arguments on every rank. Attributes of `object`, a group
 * or dataset that is there; "/" is the file's root. A text has less than 4 KB: HDF5 keeps longer
 * ones without a checksum, and a wrong bit in them makes it read beyond its memory. */
Status h5_set_text(H5File *file, const char *object, const char *name, const char *value);
Status h5_set_integer(H5File *file, const char *object, const char *name, int64_t value);

/* Collective over the file's group. *value of a text is the caller's to free. Error: PAL_ERROR_DATA
 * when the attribute is missing or of another type. */
Status h5_get_text(H5File *file, const char *object, const char *name, char **value);
Status h5_get_integer(H5File *file, const char *object, const char *name, int64_t *value);
/* Collective over the file's group. */
Status h5_has_attribute(H5File *file, const char *object, const char *name, bool *has);

/* Lists of UTF-8 strings, stored with the length of the longest. Written (local) to a file opened
 * alone, read collectively over the file's group. Free with h5_texts_free. */
Status h5_write_texts(H5File *file, const char *name, const char *const *texts, int64_t count);
Status h5_read_texts(H5File *file, const char *name, char ***texts, int64_t *count);
void h5_texts_free(char ***texts, int64_t count);

/* Local, on a file opened alone. The root's attribute `format`; NULL where there is none.
 * *format is the caller's to free. */
Status h5_get_format(H5File *file, char **format);

/* Collective over the file's group: the root's attributes `format` and `version` are these, else
 * PAL_ERROR_DATA saying what the file is instead ("is a checkpoint, not a data file"), or
 * PAL_ERROR_VERSION. */
Status h5_expect_format(H5File *file, const char *format, int64_t version);

#endif
