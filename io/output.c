/* SPDX-License-Identifier: Apache-2.0 */
#include "io/output.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checkpoint.h"
#include "io/dataset.h"
#include "io/publish.h"

static Status check_folder(const char *path)
{
    char folder[PATH_MAX];
    publish_folder(path, folder, sizeof folder);
    struct stat found;
    if (stat(folder, &found) == 0 && !S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be created: %s is no folder; give another name",
                 path, folder);
    if (access(folder, W_OK | X_OK) != 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: cannot be created: %s; choose a folder that exists, has room, and that you "
                 "may write to",
                 path, strerror(errno));
    return PAL_OK;
}

/* NULL: no HDF5 file. The format is the caller's to free. */
static const char *kind_of(const char *path, char **format)
{
    H5File *file = NULL;
    *format = NULL;
    if (h5_open(&file, path, NULL) != PAL_OK) return NULL;
    (void)h5_get_format(file, format);
    h5_abandon(&file); /* nothing was written */
    if (*format == NULL) return "an HDF5 file that palimpsest did not prepare";
    if (strcmp(*format, PAL_CHECKPOINT_FORMAT) == 0) return "a checkpoint";
    if (strcmp(*format, PAL_DATA_FORMAT) == 0) return "a data file";
    return "an HDF5 file of another kind";
}

static Status check_replaceable(const char *path, const char *wanted)
{
    char *format;
    const char *kind = kind_of(path, &format);
    bool same = wanted == NULL || format == NULL ? wanted == format : strcmp(wanted, format) == 0;
    free(format);
    if (kind == NULL)
        PAL_FAIL(
            PAL_ERROR_CANT_CREATE,
            "%s: is there already and is no HDF5 file; it would be lost: give another name, or "
            "remove it",
            path);
    if (!same)
        PAL_FAIL(
            PAL_ERROR_CANT_CREATE,
            "%s: is there already and is %s; it would be lost: give another name, or remove it",
            path, kind);
    return PAL_OK;
}

Status output_check(const char *path, const char *format)
{
    struct stat found;
    if (path[0] == '\0') PAL_FAIL(PAL_ERROR_USAGE, "the name of the file to write is empty");
    bool there = stat(path, &found) == 0;
    if (there && S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: is a folder, expected the name of a file to write, e.g. data.h5", path);
    if (there && !S_ISREG(found.st_mode))
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: is no regular file and cannot be replaced by one; give another name", path);
    PAL_TRY(check_folder(path));
    return there && found.st_size > 0 ? check_replaceable(path, format) : PAL_OK;
}
