/* SPDX-License-Identifier: Apache-2.0
 *
 * Phases as ranges in the timeline of a profiler (nsys), the host's side of it: a kernel is in the
 * range in which it was launched. Without a profiler a range costs a few nanoseconds.
 */
#include <nvtx3/nvToolsExt.h>

#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"

void cuda_enter_phase(Device *device, const char *name)
{
    CudaContext *context = cuda_context(device);
    if (context->in_phase) nvtxRangePop();
    if (name != nullptr) nvtxRangePushA(name);
    context->in_phase = name != nullptr;
}
