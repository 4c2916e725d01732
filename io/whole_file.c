/* SPDX-License-Identifier: Apache-2.0 */
#include "io/whole_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/publish.h"

/* 0, or the errno of why not. */
static int write_all(FILE *out, const JsonText *text)
{
    errno = 0;
    bool good = text->length == 0 || fwrite(text->text, 1, text->length, out) == text->length;
    int reason = errno;
    if (fclose(out) != 0 && good) {
        good = false;
        reason = errno;
    }
    return good ? 0 : reason != 0 ? reason : EIO;
}

Status whole_file_write(const char *path, const JsonText *text)
{
    char temporary[PATH_MAX];
    PAL_TRY(publish_temporary(path, temporary, sizeof temporary));
    if (text->lost) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for what it is to hold", path);
    FILE *out = fopen(temporary, "wb");
    if (out == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: cannot be created: %s; choose a folder that you may write to", path,
                 strerror(errno));
    int reason = write_all(out, text);
    if (reason == 0) return publish_file(temporary, path);
    (void)unlink(temporary);
    PAL_FAIL(PAL_ERROR_IO, "%s: cannot be written: %s", path, strerror(reason));
}

Status whole_file_read(const char *path, JsonText *text)
{
    char piece[4097];
    FILE *in = fopen(path, "rb");
    if (in == NULL) PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be read: %s", path, strerror(errno));
    for (size_t count; (count = fread(piece, 1, sizeof piece - 1, in)) > 0;) {
        piece[count] = '\0';
        json_append(text, piece);
    }
    bool good = !ferror(in);
    int reason = errno;
    (void)fclose(in);
    if (!good) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", path, strerror(reason));
    if (text->lost) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for what it holds", path);
    return PAL_OK;
}
