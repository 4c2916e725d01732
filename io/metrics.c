/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include "io/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/json.h"
#include "io/number.h"

struct Metrics {
    char *path;
    int file; /* -1: none */
    JsonText line;
};

/* Two runs in one folder would mix their lines: the lock tells the second one. It belongs to this
 * descriptor, whatever else opens and closes the file. Some file systems
 * have no locks; there it is the user who keeps runs apart. */
static bool is_locked_by_other(int file)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(file, F_OFD_SETLK, &whole) != 0 && (errno == EACCES || errno == EAGAIN);
}

static Status open_file(Metrics *m, const char *path)
{
    m->file = open(path, O_RDWR | O_CREAT | O_APPEND, 0666);
    if (m->file < 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    if (is_locked_by_other(m->file))
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: another process is writing it: is a run going on there? Wait for its end, or "
                 "choose another folder",
                 path);
    return PAL_OK;
}

/* The update of a whole line that this program wrote; -1 for any other text. */
static int64_t update_of_line(const char *line, size_t length)
{
    const char *key = "\"update\": ", *found = strstr(line, key);
    bool whole =
        length > 2 && line[0] == '{' && line[length - 2] == '}' && line[length - 1] == '\n';
    return whole && found != NULL ? strtoll(found + strlen(key), NULL, 10) : -1;
}

/* Where the first line ends that is not to stay: the length of what stays; -1 when it cannot be
 * read. */
static int64_t length_to_keep(FILE *in, int64_t update)
{
    char *line = NULL;
    size_t room = 0;
    int64_t kept = 0;
    ssize_t length;
    while ((length = getline(&line, &room, in)) > 0) {
        int64_t of_line = update_of_line(line, (size_t)length);
        if (of_line < 0 || of_line > update) break;
        kept += length;
    }
    free(line);
    return length < 0 && !feof(in) ? -1 : kept;
}

Status metrics_keep(Metrics *m, int64_t update)
{
    struct stat is;
    if (m->file < 0 || fstat(m->file, &is) != 0 || !S_ISREG(is.st_mode)) return PAL_OK;
    FILE *in = fopen(m->path, "r");
    if (in == NULL) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", m->path, strerror(errno));
    int64_t kept = length_to_keep(in, update);
    int reason = errno;
    (void)fclose(in);
    if (kept < 0) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", m->path, strerror(reason));
    if (ftruncate(m->file, kept) != 0)
        PAL_FAIL(PAL_ERROR_IO, "%s: cannot be cut: %s", m->path, strerror(errno));
    return PAL_OK;
}

Status metrics_open(Metrics **metrics, const char *path)
{
    *metrics = NULL;
    Metrics *m = calloc(1, sizeof *m);
    char *copy = strdup(path != NULL ? path : "metrics");
    if (m == NULL || copy == NULL) {
        free(m);
        free(copy);
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "metrics: out of memory");
    }
    m->path = copy;
    m->file = -1;
    *metrics = m;
    if (path == NULL) return PAL_OK;

    Status status = open_file(m, path);
    if (status != PAL_OK) (void)metrics_close(metrics);
    return status;
}

Status metrics_close(Metrics **metrics)
{
    Metrics *m = *metrics;
    if (m == NULL) return PAL_OK;
    *metrics = NULL;

    Status status = PAL_OK;
    if (m->file >= 0 && close(m->file) != 0)
        status = PAL_FAILURE(PAL_ERROR_IO, "%s: cannot be closed: %s", m->path, strerror(errno));
    free(m->line.text);
    free(m->path);
    free(m);
    return status;
}

static void append_name(Metrics *m, const char *name)
{
    json_append(&m->line, ", ");
    json_append_string(&m->line, name);
    json_append(&m->line, ": ");
}

void metrics_begin(Metrics *metrics, const char *kind)
{
    if (metrics == NULL) return;
    metrics->line.length = 0;
    metrics->line.lost = false;
    json_append(&metrics->line, "{\"kind\": ");
    json_append_string(&metrics->line, kind);
}

void metrics_integer(Metrics *metrics, const char *name, int64_t value)
{
    if (metrics == NULL) return;
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    append_name(metrics, name);
    json_append(&metrics->line, text);
}

void metrics_number(Metrics *metrics, const char *name, double value)
{
    if (metrics == NULL) return;
    char text[32];
    append_name(metrics, name);
    json_append(&metrics->line, isfinite(value) ? number_text(value, text) : "null");
}

void metrics_text(Metrics *metrics, const char *name, const char *value)
{
    if (metrics == NULL) return;
    append_name(metrics, name);
    json_append_string(&metrics->line, value);
}

/* The whole line, or nothing of it: a full disk must not leave half an object behind. */
static Status write_line(const Metrics *m)
{
    off_t before = lseek(m->file, 0, SEEK_END);
    size_t done = 0;
    while (done < m->line.length) {
        ssize_t written = write(m->file, m->line.text + done, m->line.length - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            int reason = errno;
            if (done > 0 && before >= 0 && ftruncate(m->file, before) != 0) reason = errno;
            PAL_FAIL(PAL_ERROR_IO, "%s: a line could not be written: %s", m->path,
                     strerror(reason));
        }
        done += (size_t)written;
    }
    return PAL_OK;
}

Status metrics_end(Metrics *metrics)
{
    if (metrics == NULL) return PAL_OK;
    json_append(&metrics->line, "}\n");
    if (metrics->line.lost) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", metrics->path);

    Status status = metrics->file >= 0 ? write_line(metrics) : PAL_OK;
    metrics->line.text[metrics->line.length - 1] = '\0'; /* metrics_line() has no newline */
    return status;
}

const char *metrics_line(const Metrics *metrics)
{
    return metrics != NULL && metrics->line.text != NULL ? metrics->line.text : "";
}
