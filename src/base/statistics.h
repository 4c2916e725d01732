/* SPDX-License-Identifier: Apache-2.0
 *
 * Of several measurements.
 */
#ifndef PAL_BASE_STATISTICS_H
#define PAL_BASE_STATISTICS_H

#include <stdint.h>

/* The median (of an even count the upper one); sorts the values. count >= 1. */
double statistics_median(double *values, int64_t count);

/* x; what is not a number becomes the one that prints as "nan", not "-nan". */
double statistics_printable(double x);

#endif
