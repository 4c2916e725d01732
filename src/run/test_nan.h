/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests alone: a number that is none, in a training's activations.
 *
 *     PALIMPSEST_TEST_NAN=WINDOW:ROW[:COUNT]
 *
 * makes the first activation after the embedding NaN in row ROW of the batch (over all ranks, from
 * 0) in windows WINDOW to WINDOW + COUNT - 1 (of every row, from 0; COUNT is 1 where it is left
 * out). Windows are counted on when a run goes back or is started again. Unset, nothing is done.
 */
#ifndef PAL_RUN_TEST_NAN_H
#define PAL_RUN_TEST_NAN_H

#include "src/run/training.h"

typedef struct TestNan {
    int64_t first, count, row; /* windows [first, first + count); count 0: none */
    Device *device;
} TestNan;

/* Collective over all ranks. Error (PAL_ERROR_USAGE): the variable says something else, or there is
 * no such row. */
Status test_nan_read(TestNan *nan, const Group *world, int rows);
/* Local. `nan` outlives the training. */
void test_nan_install(TestNan *nan, Training *training);

#endif
