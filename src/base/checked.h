/* SPDX-License-Identifier: Apache-2.0
 *
 * Narrowings that cannot lose bits silently: the program stops with the value if they would.
 */
#ifndef PAL_BASE_CHECKED_H
#define PAL_BASE_CHECKED_H

#include <stddef.h>
#include <stdint.h>

int checked_int(int64_t value);     /* fatal if value does not fit an int */
size_t checked_size(int64_t value); /* fatal if value is negative */

#endif
