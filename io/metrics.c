/* SPDX-License-Identifier: Apache-2.0 */
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
#include "io/lock.h"
#include "io/number.h"
#include "src/base/log.h"

struct Metrics {
    char *path;
    int file; /* -1: none */
    bool is_new;
    JsonText line;
    int64_t lost; /* lines that could not be written */
};

static Status open_file(Metrics *m, const char *path)
{
    m->is_new = access(path, F_OK) != 0;
    m->file = open(path, O_RDWR | O_CREAT | O_APPEND, 0666);
    if (m->file < 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    if (lock_is_taken(m->file)) /* two runs in one folder would mix their lines */
        PAL_FAIL(PAL_ERROR_BUSY,
                 "%s: another process is writing it: is a run going on there? Wait for its end, or "
                 "choose another folder",
                 path);
    return PAL_OK;
}

/* A number of a whole line that this program wrote; -1 for any other text. */
static int64_t number_of_line(const char *line, size_t length, const char *key)
{
    const char *found = strstr(line, key);
    bool whole =
        length > 2 && line[0] == '{' && line[length - 2] == '}' && line[length - 1] == '\n';
    return whole && found != NULL ? strtoll(found + strlen(key), NULL, 10) : -1;
}

static bool is_of(const char *line, const char *kind)
{
    return strncmp(line, kind, strlen(kind)) == 0;
}

static bool comes_after(const char *line, size_t length, int64_t update, MetricsPlace place)
{
    if (is_of(line, "{\"kind\": \"evaluate\"")) return update > place.evaluated;
    bool rewinds = is_of(line, "{\"kind\": \"rewind\"");
    if (rewinds && update == place.update)
        return number_of_line(line, length, "\"rewinds\": ") > place.rewinds;
    return update > place.update;
}

/* What stays of a file when a run goes on from an update. */
typedef struct Kept {
    int64_t bytes;   /* up to the first line of a later update, or one that is not whole */
    int64_t update;  /* the highest one of what stays */
    int64_t foreign; /* lines that this program has not written, which stay where they are */
    bool readable;
} Kept;

static Kept look_through(FILE *in, MetricsPlace place)
{
    Kept kept = {.readable = true};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    while ((length = getline(&line, &room, in)) > 0 && line[length - 1] == '\n') {
        int64_t of_line = number_of_line(line, (size_t)length, "\"update\": ");
        if (comes_after(line, (size_t)length, of_line, place)) break;
        kept.foreign += of_line < 0;
        if (of_line > kept.update) kept.update = of_line;
        kept.bytes += length;
    }
    kept.readable = length >= 0 || feof(in);
    free(line);
    return kept;
}

Status metrics_keep(Metrics *m, MetricsPlace place)
{
    struct stat is;
    if (m->file < 0 || fstat(m->file, &is) != 0 || !S_ISREG(is.st_mode)) return PAL_OK;
    FILE *in = fopen(m->path, "r");
    if (in == NULL) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", m->path, strerror(errno));
    Kept kept = place.update < 0 ? (Kept){.readable = true} : look_through(in, place);
    int reason = errno;
    (void)fclose(in);
    if (!kept.readable) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", m->path, strerror(reason));
    if (ftruncate(m->file, kept.bytes) != 0)
        PAL_FAIL(PAL_ERROR_IO, "%s: cannot be cut: %s", m->path, strerror(errno));
    if (kept.foreign > 0)
        log_warn("%s: %lld of its lines are not of this program; they stay", m->path,
                 (long long)kept.foreign);
    /* An empty one is of a run that has begun with a checkpoint of another. */
    if ((kept.bytes > 0 || m->is_new) && kept.update < place.update)
        log_warn("%s: has no lines of updates %lld to %lld, after which the run goes on", m->path,
                 (long long)kept.update + 1, (long long)place.update);
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
    else if (m->lost > 0)
        status = PAL_FAILURE(PAL_ERROR_IO, "%s: %lld lines could not be written, see the warning",
                             m->path, (long long)m->lost);
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

/* The whole line, or nothing of it: a full disk must not leave half an object behind. 0, or the
 * errno of why not. */
static int write_line(const Metrics *m)
{
    off_t before = lseek(m->file, 0, SEEK_END);
    size_t done = 0;
    while (done < m->line.length) {
        ssize_t written = write(m->file, m->line.text + done, m->line.length - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            int reason = errno;
            if (done > 0 && before >= 0 && ftruncate(m->file, before) != 0) reason = errno;
            return reason;
        }
        done += (size_t)written;
    }
    return 0;
}

/* What is measured is worth less than the work: the run goes on without the line. */
static void keep_line(Metrics *m)
{
    int reason = write_line(m);
    if (reason == 0) return;
    if (m->lost++ == 0)
        log_warn("%s: a line could not be written: %s; the run goes on, and its end says how many "
                 "are lost",
                 m->path, strerror(reason));
}

Status metrics_end(Metrics *metrics)
{
    if (metrics == NULL) return PAL_OK;
    json_append(&metrics->line, "}\n");
    if (metrics->line.lost) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", metrics->path);

    if (metrics->file >= 0) keep_line(metrics);
    metrics->line.text[metrics->line.length - 1] = '\0'; /* metrics_line() has no newline */
    return PAL_OK;
}

const char *metrics_line(const Metrics *metrics)
{
    return metrics != NULL && metrics->line.text != NULL ? metrics->line.text : "";
}
