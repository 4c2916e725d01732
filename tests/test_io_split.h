/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests that write a data file themselves: one of its splits. After <cmocka.h>.
 */
#ifndef PAL_TEST_IO_SPLIT_H
#define PAL_TEST_IO_SPLIT_H

#include <stdint.h>
#include <stdio.h>

#include "io/h5_file.h"

enum { SPLIT_DOCUMENTS = 2, TOKENS_OF_EACH = 10 };

/* Documents of TOKENS_OF_EACH tokens, all of them 0. */
typedef struct SplitContent {
    const char *names[SPLIT_DOCUMENTS];
    int64_t bytes[SPLIT_DOCUMENTS], words[SPLIT_DOCUMENTS];
} SplitContent;

static inline void write_split(H5File *file, const char *split, const SplitContent *content)
{
    const uint16_t tokens[SPLIT_DOCUMENTS * TOKENS_OF_EACH] = {0};
    int64_t offsets[SPLIT_DOCUMENTS + 1];
    for (int d = 0; d <= SPLIT_DOCUMENTS; d++) offsets[d] = d * TOKENS_OF_EACH;
    const struct {
        const char *name;
        StoredType type;
        int64_t count;
        const void *numbers;
    } arrays[] = {
        {"tokens", STORED_UINT16, SPLIT_DOCUMENTS * TOKENS_OF_EACH, tokens},
        {"offsets", STORED_INT64, SPLIT_DOCUMENTS + 1, offsets},
        {"bytes", STORED_INT64, SPLIT_DOCUMENTS, content->bytes},
        {"words", STORED_INT64, SPLIT_DOCUMENTS, content->words},
    };
    char path[64];
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        snprintf(path, sizeof path, "/%s/%s", split, arrays[i].name);
        assert_int_equal(
            h5_write(file, path, arrays[i].type, (Shape){1, {arrays[i].count}}, arrays[i].numbers),
            PAL_OK);
    }
    snprintf(path, sizeof path, "/%s/names", split);
    assert_int_equal(h5_write_texts(file, path, content->names, SPLIT_DOCUMENTS), PAL_OK);
}

#endif
