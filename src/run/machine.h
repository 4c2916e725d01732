/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine gives: threads for every rank, and its own matrix-product rate, the yardstick
 * of every speed that the program prints.
 */
#ifndef PAL_RUN_MACHINE_H
#define PAL_RUN_MACHINE_H

#include "mpi/grid.h"
#include "src/base/status.h"
#include "src/tensor/device.h"

/* As sizes of memory are printed. */
enum { MEBIBYTE = 1 << 20 };

/* Collective over all ranks, with the same answer on all of them: the fewest that any rank finds.
 * `wanted` if given (> 0); else the cores that this process may use, shared with the other ranks of
 * the node unless the launcher has given each rank cores of its own. Warns of more threads than
 * cores. */
int machine_threads(const Grid *grid, int wanted);

/* Local. Floating-point operations per second of a 1024 x 1024 x 1024 product on this device:
 * the median of `runs` runs after one more. 0 when there is no memory for it. */
double machine_product_rate(Device *device, int runs);

/* Local. Largest resident size of this process so far, in bytes. */
double machine_peak_bytes(void);

#endif
