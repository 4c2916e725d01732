/* SPDX-License-Identifier: Apache-2.0
 *
 * How the CPU operations divide their work: into `parts` ranges of nearly equal length, each
 * handled by one thread.
 *
 *     int parts = cpu_parts(device, count);
 *     #pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
 *     for (int part = 0; part < parts; part++) {
 *         PartRange range = range_of_part(count, part, parts);
 *         ...
 *     }
 *
 * The ranges depend on the size and the number of threads alone; sums over parts are combined in
 * the order of the parts. So results repeat bit by bit.
 */
#ifndef PAL_TENSOR_CPU_PARTS_H
#define PAL_TENSOR_CPU_PARTS_H

#include <stdint.h>

#include "src/tensor/device.h"

enum {
    /* Waking a team of threads costs some microseconds, as long as one thread needs for about this
     * many numbers in the first-level caches. */
    PAL_PARALLEL_MIN = 1 << 14,
    PAL_LINE_NUMBERS = 64 / (int)sizeof(Real) /* numbers in a cache line */
};

typedef struct PartRange {
    int64_t begin, end;
} PartRange;

/* In how many parts to handle `work` numbers. */
static inline int cpu_parts(const Device *device, int64_t work)
{
    return work < PAL_PARALLEL_MIN ? 1 : device->threads;
}

static inline PartRange range_of_part(int64_t count, int part, int parts)
{
    return (PartRange){count * part / parts, count * (part + 1) / parts};
}

/* The same for neighbouring numbers: ranges begin at whole cache lines, which threads then never
 * write to together. */
static inline PartRange line_range_of_part(int64_t count, int part, int parts)
{
    int64_t lines = (count + PAL_LINE_NUMBERS - 1) / PAL_LINE_NUMBERS;
    PartRange range = range_of_part(lines, part, parts);
    range.begin *= PAL_LINE_NUMBERS;
    range.end *= PAL_LINE_NUMBERS;
    if (range.begin > count) range.begin = count;
    if (range.end > count) range.end = count;
    return range;
}

#endif
