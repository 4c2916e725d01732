/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/text/text_file.h"
#include "io/text/text_layout.h"
#include "src/base/log.h"

static bool is_book(const char *entry)
{
    static const char ending[] = ".txt";
    const size_t of_ending = sizeof ending - 1;
    size_t length = text_plain_length(entry);
    return entry[0] != '.' && length > of_ending &&
           strncmp(entry + length - of_ending, ending, of_ending) == 0;
}

static Status list_entry(TextSource *source, Split split, const char *folder, const char *entry)
{
    char path[PATH_MAX];
    if (!is_book(entry)) return PAL_OK;
    int written = snprintf(path, sizeof path, "%s/%s", folder, entry);
    if (written < 0 || (size_t)written >= sizeof path)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s/%s: the name is too long", folder, entry);
    return text_source_add(source, split, path, 0, -1);
}

static Status list_folder(TextSource *source, Split split, const char *folder)
{
    DIR *entries = opendir(folder);
    if (entries == NULL && errno == ENOENT) return PAL_OK;
    if (entries == NULL)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", folder, strerror(errno));
    Status status = PAL_OK;
    struct dirent *entry;
    while (status == PAL_OK && (entry = readdir(entries)) != NULL)
        status = list_entry(source, split, folder, entry->d_name);
    closedir(entries);
    return status;
}

static Status list_split(TextSource *source, const TextSourceOptions *options, Split split)
{
    char folder[PATH_MAX];
    int length = snprintf(folder, sizeof folder, "%s/%s", options->input, split_name(split));
    if (length < 0 || (size_t)length >= sizeof folder)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%.60s...: the name is too long", options->input);
    PAL_TRY(list_folder(source, split, folder));

    if (source->count[split] == 0 && split == SPLIT_TRAIN && !options->no_training)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: no documents %s/*.txt; expected the layout of PG-19 (train/*.txt "
                 "validation/*.txt test/*.txt) or of WikiText (wiki.train.tokens ...), packed by "
                 "gzip or zstd or not",
                 options->input, folder);
    if (source->count[split] == 0)
        log_warn("%s: no documents *.txt there; this split will be empty", folder);
    return text_source_sort(source, split);
}

/* --- no book in two splits -------------------------------------------------------------------- */

typedef struct Book {
    const char *name, *path;
} Book;

static int compare_books(const void *a, const void *b)
{
    return strcmp(((const Book *)a)->name, ((const Book *)b)->name);
}

static Status check_splits(const TextSource *source)
{
    size_t count = 0;
    for (int s = 0; s < SPLIT_COUNT; s++) count += (size_t)source->count[s];
    Book *books = calloc(count + 1, sizeof *books);
    if (books == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for %zu books", count);
    size_t n = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++)
            books[n++] = (Book){source->documents[s][d].name, source->documents[s][d].path};
    qsort(books, count, sizeof *books, compare_books);

    Status status = PAL_OK;
    for (size_t i = 1; i < count && status == PAL_OK; i++)
        if (compare_books(&books[i - 1], &books[i]) == 0)
            status = PAL_FAILURE(PAL_ERROR_DATA,
                                 "%s and %s: the same book is in two splits, so a model would be "
                                 "tested on what it was trained on; remove one",
                                 books[i - 1].path, books[i].path);
    free(books);
    return status;
}

Status text_list_books(TextSource *source, const TextSourceOptions *options)
{
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(list_split(source, options, (Split)s));
    PAL_TRY(check_splits(source));
    return text_check_metadata(source, options);
}
