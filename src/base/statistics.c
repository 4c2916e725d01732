/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/statistics.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double statistics_median(double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

double statistics_printable(double x) { return isnan(x) ? fabs(x) : x; }
