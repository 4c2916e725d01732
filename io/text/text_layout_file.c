/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/number.h"
#include "io/text/text_file.h"
#include "io/text/text_layout.h"

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
                 "of the text: train [0,A), validation [A,B), test [B,end)",
                 text, (long long)size);
    return PAL_OK;
}

Status text_list_file(TextSource *source, const TextSourceOptions *options)
{
    enum { SHORTEST = 20 }; /* so that 5 % is a byte */
    const char *path = options->input;
    struct stat found;
    int64_t size = stat(path, &found) == 0 ? found.st_size : 0;
    if (text_is_packed(path)) PAL_TRY(text_file_measure(path, &size));
    if (size == 0) PAL_FAIL(PAL_ERROR_DATA, "%s: the text is empty", path);

    int64_t points[2] = {size / 10 * 9 + size % 10 * 9 / 10, size / 20 * 19 + size % 20 * 19 / 20};
    if (options->split_at != NULL)
        PAL_TRY(parse_split_points(options->split_at, size, points));
    else if (size < SHORTEST)
        PAL_FAIL(PAL_ERROR_DATA, "%s: has %lld bytes, too short for three splits of 90, 5 and 5 %%",
                 path, (long long)size);
    PAL_TRY(text_source_add(source, SPLIT_TRAIN, path, 0, points[0]));
    PAL_TRY(text_source_add(source, SPLIT_VALIDATION, path, points[0], points[1] - points[0]));
    return text_source_add(source, SPLIT_TEST, path, points[1], size - points[1]);
}
