/* SPDX-License-Identifier: Apache-2.0 */
#include "io/dataset_check.h"

#include <stdlib.h>
#include <string.h>

static bool is_bytes(const Dataset *dataset)
{
    return strcmp(dataset->tokenizer.kind, "bytes") == 0;
}

static Status check_offsets(const char *path, const char *name, const DataSplit *split)
{
    bool good = split->offsets[0] == 0 && split->offsets[split->documents] == split->tokens;
    if (!good)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: /%s/offsets run from %lld to %lld, expected from 0 to %lld, the number of "
                 "tokens; prepare the data again",
                 path, name, (long long)split->offsets[0],
                 (long long)split->offsets[split->documents], (long long)split->tokens);
    for (int64_t d = 0; d < split->documents; d++)
        if (split->offsets[d + 1] < split->offsets[d])
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: /%s: document %lld ('%.60s') ends before it begins; prepare the data "
                     "again",
                     path, name, (long long)d, split->names[d]);
    return PAL_OK;
}

static Status check_counts(const Dataset *dataset, const char *name, const DataSplit *split)
{
    for (int64_t d = 0; d < split->documents; d++) {
        int64_t tokens = split->offsets[d + 1] - split->offsets[d];
        int64_t bytes = split->bytes[d], words = split->words[d];
        if (is_bytes(dataset) && bytes != tokens)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: /%s: document '%.60s' has %lld bytes and %lld tokens, expected as many "
                     "with tokenizer 'bytes'; prepare the data again",
                     dataset->path, name, split->names[d], (long long)bytes, (long long)tokens);
        if (bytes < 0 || words < 0 || words > bytes)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: /%s: document '%.60s' has %lld words and %lld bytes, expected 0 to its "
                     "bytes; prepare the data again",
                     dataset->path, name, split->names[d], (long long)words, (long long)bytes);
    }
    return PAL_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static Status check_unique(const char *path, const char *name, const DataSplit *split)
{
    size_t count = (size_t)split->documents;
    char **sorted = malloc((count + 1) * sizeof *sorted);
    if (sorted == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    if (count > 0) memcpy(sorted, split->names, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);

    Status status = PAL_OK;
    for (size_t d = 1; d < count && status == PAL_OK; d++)
        if (strcmp(sorted[d - 1], sorted[d]) == 0)
            status =
                PAL_FAILURE(PAL_ERROR_DATA,
                            "%s: /%s: two documents are called '%.60s', expected one name each; "
                            "rename one and prepare the data again",
                            path, name, sorted[d]);
    free(sorted);
    return status;
}

/* Names become those of HDF5 groups, where '/' and '.' mean something. */
static Status check_names(const char *path, const char *name, const DataSplit *split)
{
    for (int64_t d = 0; d < split->documents; d++) {
        const char *document = split->names[d];
        if (document[0] == '\0' || strcmp(document, ".") == 0 || strchr(document, '/') != NULL)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: /%s: document %lld is called '%.60s', expected a file name without '/'; "
                     "rename it and prepare the data again",
                     path, name, (long long)d, document);
    }
    return check_unique(path, name, split);
}

Status dataset_check(const Dataset *dataset)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        const DataSplit *split = &dataset->splits[s];
        const char *name = split_name((Split)s);
        PAL_TRY(check_names(dataset->path, name, split));
        PAL_TRY(check_offsets(dataset->path, name, split));
        PAL_TRY(check_counts(dataset, name, split));
    }
    return PAL_OK;
}
