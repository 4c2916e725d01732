/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text_source.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/number.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/log.h"

/* --- the list of documents ------------------------------------------------------------------- */

static Status add_document(TextSource *source, Split split, const char *path, int64_t first,
                           int64_t bytes)
{
    if (bytes <= 0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: the document is empty, so there is nothing to predict; remove the file",
                 path);
    int64_t count = source->count[split];
    TextDocument *grown = realloc(source->documents[split], (size_t)(count + 1) * sizeof *grown);
    if (grown == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    source->documents[split] = grown;

    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t length = strlen(base);
    if (length > 4 && strcmp(base + length - 4, ".txt") == 0) length -= 4;
    TextDocument *document = &grown[count];
    *document = (TextDocument){strndup(base, length), strdup(path), first, bytes};
    source->count[split]++;
    source->total_bytes += bytes;
    if (document->name == NULL || document->path == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    return PAL_OK;
}

/* Numbers by value and before other names, those by their bytes. */
static int compare_names(const void *a, const void *b)
{
    const char *x = ((const TextDocument *)a)->name, *y = ((const TextDocument *)b)->name;
    bool x_number = x[strspn(x, "0123456789")] == '\0';
    bool y_number = y[strspn(y, "0123456789")] == '\0';
    if (x_number != y_number) return x_number ? -1 : 1;
    if (x_number) {
        size_t x_zeros = strspn(x, "0"), y_zeros = strspn(y, "0");
        size_t x_digits = strlen(x) - x_zeros, y_digits = strlen(y) - y_zeros;
        if (x_digits != y_digits) return x_digits < y_digits ? -1 : 1;
        int order = strcmp(x + x_zeros, y + y_zeros);
        if (order != 0) return order;
    }
    return strcmp(x, y);
}

static Status list_entry(TextSource *source, Split split, const char *folder, const char *entry)
{
    size_t length = strlen(entry);
    if (entry[0] == '.' || length < 5 || strcmp(entry + length - 4, ".txt") != 0) return PAL_OK;

    char path[PATH_MAX];
    int written = snprintf(path, sizeof path, "%s/%s", folder, entry);
    struct stat found;
    if (written < 0 || (size_t)written >= sizeof path || stat(path, &found) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s/%s: cannot be read: %s", folder, entry, strerror(errno));
    if (!S_ISREG(found.st_mode))
        PAL_FAIL(PAL_ERROR_DATA, "%s: is not a file; expected one .txt file for each document",
                 path);
    return add_document(source, split, path, 0, found.st_size);
}

static Status list_split(TextSource *source, const char *input, Split split)
{
    char folder[PATH_MAX];
    int length = snprintf(folder, sizeof folder, "%s/%s", input, split_name(split));
    if (length < 0 || (size_t)length >= sizeof folder)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%.60s...: the name is too long", input);
    DIR *entries = opendir(folder);
    if (entries == NULL && errno != ENOENT)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", folder, strerror(errno));

    Status status = PAL_OK;
    struct dirent *entry;
    while (status == PAL_OK && entries != NULL && (entry = readdir(entries)) != NULL)
        status = list_entry(source, split, folder, entry->d_name);
    if (entries != NULL) closedir(entries);
    PAL_TRY(status);

    if (source->count[split] == 0 && split == SPLIT_TRAIN)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: no documents %s/*.txt; expected the layout of PG-19: train/*.txt "
                 "validation/*.txt test/*.txt",
                 input, folder);
    if (source->count[split] == 0)
        log_warn("%s: no documents *.txt there; this split will be empty", folder);
    else
        qsort(source->documents[split], (size_t)source->count[split],
              sizeof *source->documents[split], compare_names);
    return PAL_OK;
}

/* --- one file -------------------------------------------------------------------------------- */

static Status parse_split_points(const char *text, int64_t size, int64_t points[2])
{
    char first[32];
    size_t width = strcspn(text, ",");
    bool good = text[width] == ',' && width < sizeof first;
    if (good) {
        snprintf(first, sizeof first, "%.*s", (int)width, text);
        good = integer_parse(first, &points[0]) && integer_parse(text + width + 1, &points[1]) &&
               0 < points[0] && points[0] < points[1] && points[1] < size;
    }
    if (!good)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--split-at %.60s: expected A,B, two byte offsets with 0 < A < B < %lld, the size "
                 "of the file: train [0,A), validation [A,B), test [B,end)",
                 text, (long long)size);
    return PAL_OK;
}

static Status cut_file(TextSource *source, const char *path, int64_t size, const char *split_at)
{
    enum { SHORTEST = 20 }; /* so that 5 % is a byte */
    int64_t points[2] = {size / 10 * 9 + size % 10 * 9 / 10, size / 20 * 19 + size % 20 * 19 / 20};
    if (size == 0) PAL_FAIL(PAL_ERROR_DATA, "%s: the document is empty", path);
    if (split_at != NULL)
        PAL_TRY(parse_split_points(split_at, size, points));
    else if (size < SHORTEST)
        PAL_FAIL(PAL_ERROR_DATA, "%s: has %lld bytes, too short for three splits of 90, 5 and 5 %%",
                 path, (long long)size);
    PAL_TRY(add_document(source, SPLIT_TRAIN, path, 0, points[0]));
    PAL_TRY(add_document(source, SPLIT_VALIDATION, path, points[0], points[1] - points[0]));
    return add_document(source, SPLIT_TEST, path, points[1], size - points[1]);
}

Status text_source_open(TextSource *source, const char *input, const char *split_at)
{
    *source = (TextSource){0};
    struct stat found;
    if (stat(input, &found) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be read: %s", input, strerror(errno));
    if (S_ISREG(found.st_mode)) return cut_file(source, input, found.st_size, split_at);
    if (!S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_DATA, "%s: is neither a folder nor a file", input);
    if (split_at != NULL)
        PAL_FAIL(PAL_ERROR_USAGE, "--split-at is for one file; %s is a folder and has its splits",
                 input);
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(list_split(source, input, (Split)s));
    return PAL_OK;
}

void text_source_close(TextSource *source)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        for (int64_t d = 0; d < source->count[s]; d++) {
            free(source->documents[s][d].name);
            free(source->documents[s][d].path);
        }
        free(source->documents[s]);
    }
    *source = (TextSource){0};
}

/* --- the list of another rank ---------------------------------------------------------------- */

/* Of every split the number of documents, and of every document its place, length and path. */
static Status pack(const TextSource *source, char **packed, size_t *size)
{
    FILE *out = open_memstream(packed, size);
    if (out == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a list of documents");
    (void)fwrite(source->count, sizeof source->count, 1, out);
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++) {
            const TextDocument *document = &source->documents[s][d];
            (void)fwrite(&document->first, sizeof document->first, 1, out);
            (void)fwrite(&document->bytes, sizeof document->bytes, 1, out);
            (void)fwrite(document->path, strlen(document->path) + 1, 1, out);
        }
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) return PAL_OK;
    free(*packed);
    *packed = NULL;
    PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a list of documents");
}

static void take(const char **from, void *to, size_t count)
{
    memcpy(to, *from, count);
    *from += count;
}

static Status unpack(TextSource *source, const char *packed)
{
    int64_t count[SPLIT_COUNT], first, bytes;
    take(&packed, count, sizeof count);
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < count[s]; d++) {
            take(&packed, &first, sizeof first);
            take(&packed, &bytes, sizeof bytes);
            PAL_TRY(add_document(source, (Split)s, packed, first, bytes));
            packed += strlen(packed) + 1;
        }
    return PAL_OK;
}

Status text_source_share(TextSource *source, const Group *group)
{
    if (group->size == 1) return PAL_OK;
    bool root = group_is_root(group);
    char *packed = NULL;
    size_t size = 0;
    PAL_TRY(group_agree(group, root ? pack(source, &packed, &size) : PAL_OK));
    group_broadcast(group, &size, sizeof size, 0);
    if (!root) packed = fatal_calloc(size, 1, "a list of documents");
    group_broadcast(group, packed, size, 0);
    Status status = root ? PAL_OK : unpack(source, packed);
    free(packed);
    return group_agree(group, status);
}
