/* SPDX-License-Identifier: Apache-2.0
 *
 * Time between two moments in the order of a device's operations: by CUDA events, or by the host's
 * clock where operations end before their calls return.
 */
#ifndef PAL_TESTS_GPU_DEVICE_CLOCK_H
#define PAL_TESTS_GPU_DEVICE_CLOCK_H

#include "src/tensor/device.h"

typedef struct DeviceClock DeviceClock;

DeviceClock *device_clock_create(Device *device);
void device_clock_destroy(DeviceClock **clock);

void device_clock_start(DeviceClock *clock);
void device_clock_stop(DeviceClock *clock);
/* Waits until the device has come to the stop. */
double device_clock_seconds(DeviceClock *clock);

#endif
