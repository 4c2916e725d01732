/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/checked.h"

#include <inttypes.h>
#include <limits.h>

#include "src/base/fatal.h"

int checked_int(int64_t value)
{
    if (value < INT_MIN || value > INT_MAX)
        fatal(PAL_ERROR_INTERNAL, "internal error: %" PRId64 " does not fit an int", value);
    return (int)value;
}

size_t checked_size(int64_t value)
{
    if (value < 0) fatal(PAL_ERROR_INTERNAL, "internal error: negative size %" PRId64, value);
    return (size_t)value;
}
