/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/common.cuh"

extern "C" {
#include "src/base/timer.h"
#include "tests/gpu/device_clock.h"
}

struct DeviceClock {
    Device *device;
    cudaEvent_t start, stop;          /* of a device that runs ahead of the host */
    double started_at, stopped_after; /* of the host */
};

extern "C" DeviceClock *device_clock_create(Device *device)
{
    DeviceClock *clock = new DeviceClock{device, nullptr, nullptr, 0, 0};
    if (device->shares_memory) return clock;
    PAL_CUDA(cudaEventCreateWithFlags(&clock->start, cudaEventDefault));
    PAL_CUDA(cudaEventCreateWithFlags(&clock->stop, cudaEventDefault));
    return clock;
}

extern "C" void device_clock_destroy(DeviceClock **clock)
{
    if (*clock != nullptr && !(*clock)->device->shares_memory) {
        PAL_CUDA(cudaEventDestroy((*clock)->start));
        PAL_CUDA(cudaEventDestroy((*clock)->stop));
    }
    delete *clock;
    *clock = nullptr;
}

extern "C" void device_clock_start(DeviceClock *clock)
{
    if (clock->device->shares_memory)
        clock->started_at = timer_seconds();
    else
        PAL_CUDA(cudaEventRecord(clock->start, cuda_stream(clock->device)));
}

extern "C" void device_clock_stop(DeviceClock *clock)
{
    if (clock->device->shares_memory)
        clock->stopped_after = timer_seconds() - clock->started_at;
    else
        PAL_CUDA(cudaEventRecord(clock->stop, cuda_stream(clock->device)));
}

extern "C" double device_clock_seconds(DeviceClock *clock)
{
    if (clock->device->shares_memory) return clock->stopped_after;
    float milliseconds = 0;
    PAL_CUDA(cudaEventSynchronize(clock->stop));
    PAL_CUDA(cudaEventElapsedTime(&milliseconds, clock->start, clock->stop));
    return 1e-3 * static_cast<double>(milliseconds);
}
