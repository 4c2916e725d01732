/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One line at a time: a background thread may have something to say too. */
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;

/* Who speaks, and where to. */
static struct {
    int rank;
    bool quiet;
    bool to_stderr;
    bool progress_shown;
    enum { TERMINAL_UNKNOWN, TERMINAL_YES, TERMINAL_NO } terminal;
    FILE *file;
    char path[4096]; /* of the file */
} tag;

void log_set_rank(int rank, bool speaks)
{
    tag.rank = rank;
    tag.quiet = !speaks;
}

void log_to_stderr(void) { tag.to_stderr = true; }

static FILE *normal_stream(void) { return tag.to_stderr ? stderr : stdout; }

/* mpirun gives rank 0 a terminal of its own even where it writes to a file itself: then what
 * counts is where the parent process, mpirun, writes to. */
static bool launcher_has_terminal(int descriptor)
{
    if (getenv("OMPI_COMM_WORLD_SIZE") == NULL) return true;
    char link[64], target[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)getppid(), descriptor);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0) return false;
    target[length] = '\0';
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

bool log_is_terminal(void)
{
    if (tag.terminal == TERMINAL_UNKNOWN) {
        const char *term = getenv("TERM");
        int descriptor = fileno(normal_stream());
        bool is = term != NULL && strcmp(term, "dumb") != 0 && isatty(descriptor) &&
                  launcher_has_terminal(descriptor);
        tag.terminal = is ? TERMINAL_YES : TERMINAL_NO;
    }
    return tag.terminal == TERMINAL_YES;
}

Status log_open_file(const char *path)
{
    log_close_file();
    if (tag.quiet) return PAL_OK;
    tag.file = fopen(path, "a");
    if (tag.file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    setvbuf(tag.file, NULL, _IOLBF, 0);
    snprintf(tag.path, sizeof tag.path, "%s", path);
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
    fputs("\r\033[K", normal_stream());
    fflush(normal_stream());
    tag.progress_shown = false;
}

static void write_line(FILE *out, const char *prefix, const char *format, va_list arguments)
{
    fputs(prefix, out);
    vfprintf(out, format, arguments);
    fputc('\n', out);
    fflush(out);
}

/* A log that cannot be written (full disk) is given up, which one line on stderr says; the work
 * that it tells of goes on. */
static void write_to_file(const char *prefix, const char *format, va_list arguments)
{
    errno = 0;
    write_line(tag.file, prefix, format, arguments);
    if (ferror(tag.file) == 0) return;
    fprintf(stderr, "warning: %s: cannot be written: %s; what follows is not in it\n", tag.path,
            strerror(errno));
    log_close_file();
}

static void write_everywhere(FILE *out, const char *prefix, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    pthread_mutex_lock(&speaking);
    clear_progress();
    write_line(out, prefix, format, arguments);
    if (tag.file != NULL) write_to_file(prefix, format, again);
    pthread_mutex_unlock(&speaking);
    va_end(again);
}

void log_info(const char *format, ...)
{
    if (tag.quiet) return;
    va_list arguments;
    va_start(arguments, format);
    write_everywhere(normal_stream(), "", format, arguments);
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
    pthread_mutex_lock(&speaking);
    fputs("\r\033[K", normal_stream());
    vfprintf(normal_stream(), format, arguments);
    fflush(normal_stream());
    tag.progress_shown = true;
    pthread_mutex_unlock(&speaking);
    va_end(arguments);
}
