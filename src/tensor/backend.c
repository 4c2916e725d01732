/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/backend.h"

#ifdef PAL_ENABLE_CUDA
bool backend_has_cuda(void) { return true; }

Status backend_create_cuda(Device **device, int local_rank)
{
    return device_create_cuda(device, local_rank);
}
#else
bool backend_has_cuda(void) { return false; }

Status backend_create_cuda(Device **device, int local_rank)
{
    (void)local_rank;
    *device = NULL;
    PAL_FAIL(PAL_ERROR_UNAVAILABLE,
             "device.name = cuda, but this palimpsest was built without CUDA; build it with "
             "-DPALIMPSEST_CUDA=ON where the CUDA toolkit is, or set device.name = cpu");
}
#endif
