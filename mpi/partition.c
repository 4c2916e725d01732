/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/partition.h"

#include "src/base/status.h"

Range partition_range(int64_t whole, int parts, int part)
{
    PAL_ASSERT(parts >= 1 && part >= 0 && part < parts);
    int64_t shorter = whole / parts, longer = whole % parts;
    Range range = {part * shorter + (part < longer ? part : longer),
                   shorter + (part < longer ? 1 : 0)};
    return range;
}

int partition_owner(int64_t whole, int parts, int64_t element)
{
    PAL_ASSERT(element >= 0 && element < whole);
    int64_t shorter = whole / parts, longer = whole % parts;
    int64_t in_longer = longer * (shorter + 1);
    if (element < in_longer) return (int)(element / (shorter + 1));
    return (int)(longer + (element - in_longer) / shorter);
}
