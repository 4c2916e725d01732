/* SPDX-License-Identifier: Apache-2.0
 *
 * Who owns what: pure arithmetic, no communication, tested without MPI.
 */
#ifndef PAL_MPI_PARTITION_H
#define PAL_MPI_PARTITION_H

#include <stdint.h>

/* A contiguous range of a whole. */
typedef struct Range {
    int64_t first, count;
} Range;

/* Part `part` of `whole` cut into `parts` ranges whose lengths differ by one at most, longer ones
 * first. Local. */
Range partition_range(int64_t whole, int parts, int part);

/* The part that holds `element`. Local. */
int partition_owner(int64_t whole, int parts, int64_t element);

#endif
