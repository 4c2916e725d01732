/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/same_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/running_sum.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"

enum { SHORTEST = 256 };

/* A document by its bytes. Where it is cut into parts depends on its length alone. */
typedef struct Content {
    uint64_t sum;
    int64_t bytes;
    Split split;
    int64_t document;
} Content;

static int compare(const void *a, const void *b)
{
    const Content *x = a, *y = b;
    if (x->sum != y->sum) return x->sum < y->sum ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    if (x->split != y->split) return x->split < y->split ? -1 : 1;
    return x->document < y->document ? -1 : x->document > y->document;
}

/* Of all documents that are not so short that they may be alike by chance; returns how many. */
static int64_t list(const TextParts *parts, const PartCounts *counts, Content *contents)
{
    int64_t n = 0;
    for (int64_t i = 0; i < parts->num_parts; i++) {
        const TextPart *part = &parts->parts[i];
        bool begins =
            i == 0 || part->split != part[-1].split || part->document != part[-1].document;
        if (begins) contents[n++] = (Content){.split = part->split, .document = part->document};
        Content *content = &contents[n - 1];
        running_sum_add(&content->sum, &counts[i].sum, sizeof counts[i].sum);
        content->bytes += counts[i].bytes;
        bool ends = i + 1 == parts->num_parts || part[1].split != part->split ||
                    part[1].document != part->document;
        if (ends && content->bytes < SHORTEST) n--;
    }
    return n;
}

static const char *path_of(const TextParts *parts, const Content *content)
{
    return parts->source->documents[content->split][content->document].path;
}

/* Within a split, a warning: whoever repeats a text may mean it. */
static void warn_of_repeated(const TextParts *parts, const Content *again, int64_t count)
{
    if (count == 0) return;
    char others[60] = "";
    if (count > 1)
        snprintf(others, sizeof others, "; %lld more documents repeat others",
                 (long long)(count - 1));
    log_warn("%s and %s: are the same text%s", path_of(parts, &again[-1]), path_of(parts, again),
             others);
}

Status check_not_trained_on(const TextParts *parts, const PartCounts *counts)
{
    if (parts->source->layout == LAYOUT_FILE) return PAL_OK;
    Content *contents = fatal_calloc(checked_size(parts->num_parts) + 1, sizeof *contents, "sums");
    int64_t n = list(parts, counts, contents), repeated = 0;
    if (n > 1) qsort(contents, (size_t)n, sizeof *contents, compare);
    const Content *again = NULL;
    Status status = PAL_OK;
    for (int64_t i = 1; i < n && status == PAL_OK; i++) {
        const Content *a = &contents[i - 1], *b = &contents[i];
        if (a->sum != b->sum || a->bytes != b->bytes) continue;
        if (a->split != b->split)
            status = PAL_FAILURE(PAL_ERROR_DATA,
                                 "%s and %s: the same text is in two splits, so a model would be "
                                 "tested on what it was trained on; remove one",
                                 path_of(parts, a), path_of(parts, b));
        else if (repeated++ == 0)
            again = b;
    }
    if (status == PAL_OK) warn_of_repeated(parts, again, repeated);
    free(contents);
    return status;
}
