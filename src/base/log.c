/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The one mutable global of the project: who speaks, and where to. */
static struct {
    int rank;
    bool quiet;
    bool to_stderr;
    bool progress_shown;
    FILE *file;
} tag;

void log_set_rank(int rank, bool speaks)
{
    tag.rank = rank;
    tag.quiet = !speaks;
}

void log_to_stderr(void) { tag.to_stderr = true; }

bool log_is_terminal(void) { return isatty(STDERR_FILENO) != 0; }

Status log_open_file(const char *path)
{
    log_close_file();
    if (tag.quiet) return PAL_OK;
    tag.file = fopen(path, "a");
    if (tag.file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    setvbuf(tag.file, NULL, _IOLBF, 0);
    return PAL_OK;
}

void log_close_file(void)
{
    if (tag.file != NULL) fclose(tag.file);
    tag.file = NULL;
}

static void clear_progress(void)
{
    if (!tag.progress_shown) return;
    fputs("\r\033[K", stderr);
    tag.progress_shown = false;
}

static void write_line(FILE *out, const char *prefix, const char *format, va_list arguments)
{
    fputs(prefix, out);
    vfprintf(out, format, arguments);
    fputc('\n', out);
    fflush(out);
}

static void write_everywhere(FILE *out, const char *prefix, const char *format, va_list arguments)
{
    clear_progress();
    va_list again;
    va_copy(again, arguments);
    write_line(out, prefix, format, arguments);
    if (tag.file != NULL) write_line(tag.file, prefix, format, again);
    va_end(again);
}

void log_info(const char *format, ...)
{
    if (tag.quiet) return;
    va_list arguments;
    va_start(arguments, format);
    write_everywhere(tag.to_stderr ? stderr : stdout, "", format, arguments);
    va_end(arguments);
}

void log_warn(const char *format, ...)
{
    if (tag.quiet) return;
    va_list arguments;
    va_start(arguments, format);
    write_everywhere(stderr, "warning: ", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    char prefix[64] = "palimpsest: ";
    if (tag.rank > 0) snprintf(prefix, sizeof prefix, "palimpsest: rank %d: ", tag.rank);
    va_list arguments;
    va_start(arguments, format);
    write_everywhere(stderr, prefix, format, arguments);
    va_end(arguments);
}

void log_progress(const char *format, ...)
{
    if (tag.quiet || !log_is_terminal()) return;
    va_list arguments;
    va_start(arguments, format);
    fputs("\r\033[K", stderr);
    vfprintf(stderr, format, arguments);
    fflush(stderr);
    va_end(arguments);
    tag.progress_shown = true;
}
