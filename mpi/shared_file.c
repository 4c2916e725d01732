/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* sync_file_range */
#include "mpi/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/check.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/whereabouts.h"

struct SharedFile {
    char *path;
    const Group *group;
    FileTransfer how;
    int descriptor; /* direct */
    MPI_File file;  /* through MPI-IO */
};

static Status mpi_io_failed(const SharedFile *f, int error, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown";
    int length = 0;
    MPI_Error_string(error, text, &length);
    PAL_FAIL(PAL_ERROR_IO, "%s: cannot be %s: %s", f->path, what, text);
}

static Status system_failed(const SharedFile *f, const char *what)
{
    PAL_FAIL(PAL_ERROR_IO, "%s: cannot be %s: %s", f->path, what, strerror(errno));
}

/* --- by itself, with the system's own calls --------------------------------------------------- */

static Status open_direct(SharedFile *f)
{
    f->descriptor = open(f->path, O_WRONLY | O_CLOEXEC);
    return f->descriptor < 0 ? system_failed(f, "opened") : PAL_OK;
}

/* The disk begins with what was written while the next pieces are prepared, so that fsync() in the
 * end finds little left to do. A hint: where it is not understood nothing is lost. */
static void start_to_disk(const SharedFile *f, FilePieces pieces)
{
    const int64_t worth_it = 1 << 20;
    if (pieces.count == 0 || pieces.count * pieces.length < worth_it) return;
    int64_t first = pieces.offsets[0], last = pieces.offsets[pieces.count - 1];
    (void)sync_file_range(f->descriptor, first, last + pieces.length - first,
                          SYNC_FILE_RANGE_WRITE);
}

static Status write_direct(SharedFile *f, FilePieces pieces, const char *bytes)
{
    for (int64_t i = 0; i < pieces.count; i++) {
        int64_t done = 0;
        while (done < pieces.length) {
            ssize_t written = pwrite(f->descriptor, bytes + done,
                                     checked_size(pieces.length - done), pieces.offsets[i] + done);
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) return system_failed(f, "written");
            done += written;
        }
        bytes += pieces.length;
    }
    start_to_disk(f, pieces);
    return PAL_OK;
}

static Status close_direct(SharedFile *f)
{
    Status status = fsync(f->descriptor) == 0 ? PAL_OK : system_failed(f, "written to the disk");
    if (close(f->descriptor) != 0 && status == PAL_OK) status = system_failed(f, "closed");
    return status;
}

static void abandon_direct(SharedFile *f) { (void)close(f->descriptor); }

/* --- through MPI-IO --------------------------------------------------------------------------- */

/* Hints: a rank writes its own pieces and nothing between them. Sieving would read what others are
 * writing, and write it back. */
static Status open_mpi_io(SharedFile *f)
{
    MPI_Comm ranks = f->how == TRANSFER_COLLECTIVE ? f->group->comm : MPI_COMM_SELF;
    MPI_Info hints;
    PAL_MPI(MPI_Info_create(&hints));
    PAL_MPI(MPI_Info_set(hints, "romio_ds_write", "disable"));
    whereabouts_meet("opening a file through MPI-IO", f->group->name);
    int error = MPI_File_open(ranks, f->path, MPI_MODE_WRONLY, hints, &f->file);
    whereabouts_met();
    PAL_MPI(MPI_Info_free(&hints));
    if (error != MPI_SUCCESS) f->file = MPI_FILE_NULL;
    return error == MPI_SUCCESS ? PAL_OK : mpi_io_failed(f, error, "opened");
}

static MPI_Datatype type_of_pieces(FilePieces pieces)
{
    MPI_Datatype type;
    MPI_Aint *places = fatal_calloc(checked_size(pieces.count + 1), sizeof *places, "file pieces");
    for (int64_t i = 0; i < pieces.count; i++) places[i] = (MPI_Aint)pieces.offsets[i];
    PAL_MPI(MPI_Type_create_hindexed_block(checked_int(pieces.count), checked_int(pieces.length),
                                           places, MPI_BYTE, &type));
    PAL_MPI(MPI_Type_commit(&type));
    free(places);
    return type;
}

/* A library may call it success when fewer bytes were written than asked for. Of nothing it may say
 * anything. */
static Status write_view(const SharedFile *f, MPI_Offset at, const char *bytes, int count)
{
    MPI_Status done;
    int written = 0;
    whereabouts_meet("a write through MPI-IO", f->group->name);
    int error = f->how == TRANSFER_COLLECTIVE
                    ? MPI_File_write_at_all(f->file, at, bytes, count, MPI_BYTE, &done)
                    : MPI_File_write_at(f->file, at, bytes, count, MPI_BYTE, &done);
    whereabouts_met();
    if (error != MPI_SUCCESS) return mpi_io_failed(f, error, "written");
    PAL_MPI(MPI_Get_count(&done, MPI_BYTE, &written));
    if (written < count)
        PAL_FAIL(PAL_ERROR_IO, "%s: only %d of %d bytes could be written; is the disk full?",
                 f->path, written, count);
    return PAL_OK;
}

/* Also where the view cannot be set a rank takes part, with nothing. */
static Status write_mpi_io(SharedFile *f, FilePieces pieces, const char *bytes)
{
    if (pieces.count == 0) pieces.length = 0;
    int count = checked_int(pieces.length * pieces.count);
    MPI_Datatype view = MPI_BYTE;
    MPI_Offset at = 0;
    if (pieces.count == 1)
        at = pieces.offsets[0];
    else if (count > 0)
        view = type_of_pieces(pieces);
    int error = MPI_File_set_view(f->file, 0, MPI_BYTE, view, "native", MPI_INFO_NULL);
    Status status = write_view(f, at, bytes, error == MPI_SUCCESS ? count : 0);
    if (view != MPI_BYTE) PAL_MPI(MPI_Type_free(&view));
    return error == MPI_SUCCESS ? status : mpi_io_failed(f, error, "written");
}

static Status close_mpi_io(SharedFile *f)
{
    int error = MPI_File_sync(f->file);
    Status status = error == MPI_SUCCESS ? PAL_OK : mpi_io_failed(f, error, "written to the disk");
    error = MPI_File_close(&f->file);
    if (error != MPI_SUCCESS && status == PAL_OK) status = mpi_io_failed(f, error, "closed");
    return status;
}

static void abandon_mpi_io(SharedFile *f) { (void)MPI_File_close(&f->file); }

/* ---------------------------------------------------------------------------------------------- */

static const struct {
    Status (*open)(SharedFile *f);
    Status (*write)(SharedFile *f, FilePieces pieces, const char *bytes);
    Status (*close)(SharedFile *f);
    void (*abandon)(SharedFile *f);
} ways[] = {
    [TRANSFER_DIRECT] = {open_direct, write_direct, close_direct, abandon_direct},
    [TRANSFER_INDEPENDENT] = {open_mpi_io, write_mpi_io, close_mpi_io, abandon_mpi_io},
    [TRANSFER_COLLECTIVE] = {open_mpi_io, write_mpi_io, close_mpi_io, abandon_mpi_io},
};

static void file_free(SharedFile **file)
{
    free((*file)->path);
    free(*file);
    *file = NULL;
}

Status shared_file_open(SharedFile **file, const char *path, const Group *group, FileTransfer how)
{
    SharedFile *f = fatal_calloc(1, sizeof *f, "a file's handle");
    size_t length = strlen(path) + 1;
    f->path = fatal_calloc(length, 1, "a file's name");
    memcpy(f->path, path, length);
    f->group = group;
    f->how = how;
    f->descriptor = -1;
    f->file = MPI_FILE_NULL;
    *file = f;

    Status status = ways[how].open(f);
    if (how == TRANSFER_COLLECTIVE) status = group_agree(group, status);
    /* What is open on some ranks alone stays so to the program's end: closing is for all. */
    if (status != PAL_OK) file_free(file);
    return status;
}

Status shared_file_write(SharedFile *file, FilePieces pieces, const void *bytes)
{
    return ways[file->how].write(file, pieces, bytes);
}

Status shared_file_close(SharedFile **file)
{
    Status status = ways[(*file)->how].close(*file);
    file_free(file);
    return status;
}

void shared_file_abandon(SharedFile **file)
{
    if (*file == NULL) return;
    ways[(*file)->how].abandon(*file);
    file_free(file);
}

/* The parameter `io` of Open MPI, which has more than one; others have ROMIO alone. */
static void read_component(char *name, size_t size)
{
    enum { OWN_SIZE = 4096 };
    char value[OWN_SIZE] = "";
    MPI_T_cvar_handle handle;
    int provided, index, length;
    if (MPI_T_init_thread(MPI_THREAD_SINGLE, &provided) != MPI_SUCCESS) return;
    bool found = MPI_T_cvar_get_index("io", &index) == MPI_SUCCESS;
    if (found && MPI_T_cvar_handle_alloc(index, NULL, &handle, &length) == MPI_SUCCESS) {
        if (length < OWN_SIZE) (void)MPI_T_cvar_read(handle, value);
        (void)MPI_T_cvar_handle_free(&handle);
    }
    (void)MPI_T_finalize();
    if (value[0] != '\0') snprintf(name, size, "%s", value);
}

void shared_file_component(FileTransfer how, char name[64])
{
    snprintf(name, 64, "%s", how == TRANSFER_DIRECT ? "" : "the library's default");
    if (how != TRANSFER_DIRECT) read_component(name, 64);
}
