/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "io/running_sum.h"

#include <xxhash.h>

void running_sum_add(uint64_t *sum, const void *bytes, size_t count)
{
    *sum = XXH3_64bits_withSeed(bytes, count, *sum);
}
