/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/text_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/text/text_file.h"
#include "io/text/text_layout.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"

/* --- the list of documents -------------------------------------------------------------------- */

static char *document_name(const char *path)
{
    static const char *const endings[] = {".txt", ".tokens"};
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t length = text_plain_length(base);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strncmp(base + length - ending, endings[i], ending) == 0)
            return strndup(base, length - ending);
    }
    return strndup(base, length);
}

/* Takes over the strings of `document`. */
static Status append(TextSource *source, Split split, const TextDocument *document)
{
    int64_t count = source->count[split];
    TextDocument *grown = NULL;
    if (document->name != NULL && document->path != NULL)
        grown = realloc(source->documents[split], (size_t)(count + 1) * sizeof *grown);
    if (grown == NULL) {
        free(document->name);
        free(document->path);
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a list of documents");
    }
    grown[count] = *document;
    source->documents[split] = grown;
    source->count[split]++;
    return PAL_OK;
}

Status text_source_add(TextSource *source, Split split, const char *path, int64_t first,
                       int64_t bytes)
{
    enum { SECOND = 1000000000 };
    struct stat found;
    if (stat(path, &found) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(found.st_mode))
        PAL_FAIL(PAL_ERROR_DATA, "%s: is not a file; expected one .txt file for each document",
                 path);
    const TextDocument document = {
        .name = document_name(path),
        .path = strdup(path),
        .first = first,
        .bytes = bytes >= 0 || text_is_packed(path) ? bytes : found.st_size,
        .on_disk = found.st_size,
        .modified = (int64_t)found.st_mtim.tv_sec * SECOND + found.st_mtim.tv_nsec,
    };
    return append(source, split, &document);
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

Status text_source_sort(TextSource *source, Split split)
{
    TextDocument *documents = source->documents[split];
    int64_t count = source->count[split];
    if (count > 1) qsort(documents, (size_t)count, sizeof *documents, compare_names);
    for (int64_t d = 1; d < count; d++)
        if (strcmp(documents[d - 1].name, documents[d].name) == 0)
            PAL_FAIL(PAL_ERROR_DATA, "%s and %s: both are document '%s'; remove one",
                     documents[d - 1].path, documents[d].path, documents[d].name);
    return PAL_OK;
}

/* Of packed files it is only known when they are unpacked. */
static Status check_not_empty(const TextSource *source)
{
    const TextDocument *documents = source->documents[SPLIT_TRAIN];
    int64_t empty = 0;
    for (int64_t d = 0; d < source->count[SPLIT_TRAIN]; d++) empty += documents[d].bytes == 0;
    if (empty > 0 && empty == source->count[SPLIT_TRAIN])
        PAL_FAIL(PAL_ERROR_DATA, "%s: is empty, and so is every document of the training split",
                 documents[0].path);
    return PAL_OK;
}

static Status (*const list_layout[LAYOUT_COUNT])(TextSource *, const TextSourceOptions *) = {
    [LAYOUT_BOOKS] = text_list_books,
    [LAYOUT_WIKITEXT] = text_list_wikitext,
    [LAYOUT_FILE] = text_list_file,
};

Status text_source_open(TextSource *source, const TextSourceOptions *options)
{
    const char *input = options->input;
    *source = (TextSource){0};
    struct stat found;
    if (stat(input, &found) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be read: %s", input, strerror(errno));
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
        PAL_FAIL(PAL_ERROR_DATA, "%s: is neither a folder nor a file", input);
    if (S_ISREG(found.st_mode))
        source->layout = LAYOUT_FILE;
    else if (text_is_wikitext(input))
        source->layout = LAYOUT_WIKITEXT;
    else
        source->layout = LAYOUT_BOOKS;
    if (options->split_at != NULL && source->layout != LAYOUT_FILE)
        PAL_FAIL(PAL_ERROR_USAGE, "--split-at is for one file; %s is a folder and has its splits",
                 input);
    PAL_TRY(list_layout[source->layout](source, options));
    return check_not_empty(source);
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

/* --- the list of another rank ----------------------------------------------------------------- */

/* The source, then each document with its two strings; pointers in them mean nothing there. */
static Status pack(const TextSource *source, char **packed, size_t *size)
{
    FILE *out = open_memstream(packed, size);
    if (out == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a list of documents");
    (void)fwrite(source, sizeof *source, 1, out);
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++) {
            const TextDocument *document = &source->documents[s][d];
            (void)fwrite(document, sizeof *document, 1, out);
            (void)fwrite(document->name, strlen(document->name) + 1, 1, out);
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

static char *take_text(const char **from)
{
    char *text = strdup(*from);
    *from += strlen(*from) + 1;
    return text;
}

static Status unpack(TextSource *source, const char *packed)
{
    TextSource theirs;
    take(&packed, &theirs, sizeof theirs);
    source->layout = theirs.layout;
    source->has_metadata = theirs.has_metadata;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < theirs.count[s]; d++) {
            TextDocument document;
            take(&packed, &document, sizeof document);
            document.name = take_text(&packed);
            document.path = take_text(&packed);
            PAL_TRY(append(source, (Split)s, &document));
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
