/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine gives: its own matrix-product rate, the yardstick of every speed that the
 * program prints, and the memory that a run took of it.
 */
#ifndef PAL_RUN_MACHINE_H
#define PAL_RUN_MACHINE_H

#include "mpi/grid.h"
#include "src/base/host.h"
#include "src/tensor/device.h"

/* Collective over the group. The names of all ranks' hosts, PAL_HOST_SIZE (base/host.h) bytes
 * each; the caller frees them. */
char *machine_hosts(const Group *group);

/* As sizes of memory are printed. */
enum { MEBIBYTE = 1 << 20 };

/* Local. Floating-point operations per second of a 1024 x 1024 x 1024 product of such numbers on
 * this device: the median of `runs` runs after one more, each of one product, or of several where
 * one is too short for the clock. 0 when there is no memory for it. */
double machine_product_rate(Device *device, NumberType type, int runs);
/* "1024^3 product", with the number type where that is not float32. */
const char *machine_product_name(NumberType type);

/* Collective over the group. How many times the products of one rank alone (the mean of all, one
 * after another) all ranks do together that wait for the slowest after every product: the most that
 * work in equal shares can gain from them. The group's size at best; less where ranks share cores,
 * caches or memory, or others use the machine. */
double machine_lockstep_gain(const Group *group, Device *device, NumberType type, int runs);

/* Local. Largest resident size of this process so far, in bytes. */
double machine_peak_bytes(void);

/* Local. Seconds since the system started this process, in steps of 10 ms; 0 where it does not
 * tell. */
double machine_process_age(void);

#endif
