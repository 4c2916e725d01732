/* SPDX-License-Identifier: Apache-2.0
 *
 * A sum of whatever is added, in its order: what was made from the same has the same.
 */
#ifndef PAL_IO_RUNNING_SUM_H
#define PAL_IO_RUNNING_SUM_H

#include <stddef.h>
#include <stdint.h>

/* Local. XXH3 of the bytes, seeded with *sum, which is 0 before the first. */
void running_sum_add(uint64_t *sum, const void *bytes, size_t count);

#endif
