/* SPDX-License-Identifier: Apache-2.0
 *
 * Which devices this build has. Every device is called by its table alone (device.h); that one may
 * be absent is known here only.
 */
#ifndef PAL_TENSOR_BACKEND_H
#define PAL_TENSOR_BACKEND_H

#include <stdbool.h>

#include "src/tensor/device.h"

bool backend_has_cuda(void);

/* device_create_cuda, or an error (69) that says that this build has none. */
Status backend_create_cuda(Device **device, int local_rank);

#endif
