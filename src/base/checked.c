/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/checked.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

int checked_int(int64_t value)
{
    if (value < INT_MIN || value > INT_MAX) {
        fprintf(stderr, "palimpsest: internal error: %" PRId64 " does not fit an int\n", value);
        abort();
    }
    return (int)value;
}

size_t checked_size(int64_t value)
{
    if (value < 0) {
        fprintf(stderr, "palimpsest: internal error: negative size %" PRId64 "\n", value);
        abort();
    }
    return (size_t)value;
}
