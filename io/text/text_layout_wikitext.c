/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/text/text_layout.h"
#include "src/base/log.h"

static const char *const split_words[SPLIT_COUNT] = {"train", "valid", "test"};

/* .raw: WikiText before its words were cut apart, which is published beside it. */
static const char *const endings[] = {".tokens", ".tokens.gz", ".tokens.zst",
                                      ".raw",    ".raw.gz",    ".raw.zst"};
enum { NUM_ENDINGS = sizeof endings / sizeof *endings };

/* The split's files; returns how many there are, and the last two of them. */
static int find_files(const char *folder, int split, char paths[2][PATH_MAX])
{
    int count = 0;
    char path[PATH_MAX];
    struct stat found;
    for (int i = 0; i < NUM_ENDINGS; i++) {
        int length =
            snprintf(path, sizeof path, "%s/wiki.%s%s", folder, split_words[split], endings[i]);
        if (length < 0 || (size_t)length >= sizeof path || stat(path, &found) != 0) continue;
        memcpy(paths[count++ % 2], path, sizeof path);
    }
    return count;
}

bool text_is_wikitext(const char *folder)
{
    char paths[2][PATH_MAX];
    for (int s = 0; s < SPLIT_COUNT; s++)
        if (find_files(folder, s, paths) > 0) return true;
    return false;
}

Status text_list_wikitext(TextSource *source, const TextSourceOptions *options)
{
    for (int s = 0; s < SPLIT_COUNT; s++) {
        char paths[2][PATH_MAX];
        int count = find_files(options->input, s, paths);
        if (count > 1)
            PAL_FAIL(PAL_ERROR_DATA, "%s and %s: both are there, expected one of them; remove one",
                     paths[0], paths[1]);
        if (count == 0 && s == SPLIT_TRAIN && !options->no_training)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: no wiki.train.tokens there; expected WikiText's three files "
                     "wiki.{train,valid,test}.tokens (or .gz, .zst)",
                     options->input);
        if (count == 0)
            log_warn("%s: no wiki.%s.tokens there; this split will be empty", options->input,
                     split_words[s]);
        else
            PAL_TRY(text_source_add(source, (Split)s, paths[0], 0, -1));
    }
    return PAL_OK;
}
