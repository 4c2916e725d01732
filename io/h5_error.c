/* SPDX-License-Identifier: Apache-2.0
 *
 * From HDF5's stack of errors to one reason that a person can act on.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "io/h5_internal.h"
#include "mpi/collectives.h"

typedef struct Reason {
    char text[256];
    bool from_system;
} Reason;

/* Copies what stands between `before` and `after` in a description; false if it is not there. */
static bool copy_between(Reason *reason, const char *description, const char *before,
                         const char *after)
{
    const char *begin = strstr(description, before);
    if (begin == NULL) return false;
    begin += strlen(before);
    const char *end = strstr(begin, after);
    int length = end != NULL ? (int)(end - begin) : (int)strlen(begin);
    snprintf(reason->text, sizeof reason->text, "%.*s", length, begin);
    return true;
}

/* Called from the innermost error outwards. The drivers write the errno into the description:
 * "file write failed: ..., errno = 28, error message = 'No space left on device', ..." */
static herr_t look_at_error(unsigned depth, const H5E_error2_t *error, void *user)
{
    (void)depth;
    Reason *reason = user;
    if (error->desc == NULL || reason->from_system) return 0;
    if (copy_between(reason, error->desc, "error message = '", "'")) {
        reason->from_system = strcmp(reason->text, "Success") != 0;
    } else if (copy_between(reason, error->desc, "MPI error string is '", "'")) {
        reason->from_system = true;
    } else if (reason->text[0] == '\0') {
        snprintf(reason->text, sizeof reason->text, "%s", error->desc);
    }
    return 0;
}

/* MPI-IO says only that fewer bytes were written than asked for. */
static void look_at_disk(Reason *reason, const char *path)
{
    struct statvfs disk;
    if (statvfs(path, &disk) != 0 || disk.f_bavail > 0) return;
    snprintf(reason->text, sizeof reason->text, "%s", strerror(ENOSPC));
    reason->from_system = true;
}

Status h5_fail(const char *path, Status status, const char *format, ...)
{
    Reason reason = {0};
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, look_at_error, &reason);
    if (status == PAL_ERROR_IO && !reason.from_system) look_at_disk(&reason, path);
    if (reason.text[0] == '\0') snprintf(reason.text, sizeof reason.text, "no reason given");
    if (reason.from_system && status == PAL_ERROR_DATA) status = PAL_ERROR_IO;

    char what[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return PAL_FAILURE(status, "%s: %s: %s", path, what, reason.text);
}

Status h5_agree(H5File *file, Status mine)
{
    Status status = file->group != NULL ? group_agree(file->group, mine) : mine;
    if (status != PAL_OK && file->made && !file->broken) {
        file->broken = true;
        h5_discard(file);
    }
    return status;
}

/* HDF5 keeps trying to write what a full disk did not take: when the program exits, and within
 * MPI_Finalize if MPI was up before HDF5 (then it crashes, 1.10.8). Both are prevented by starting
 * it here, before main(); all files are closed explicitly, so there is nothing left for it to do.
 * */
__attribute__((constructor)) static void start_before_main(void)
{
    (void)H5dont_atexit();
    (void)H5open();
}

void h5_silence(void) { (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }
