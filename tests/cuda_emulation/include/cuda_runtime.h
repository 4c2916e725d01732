/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the CUDA runtime that the CUDA device uses, with the names and values of CUDA 13; see
 * README.md for what it checks.
 */
#ifndef CUDA_EMULATION_CUDA_RUNTIME_H
#define CUDA_EMULATION_CUDA_RUNTIME_H

#include <cstddef>
#include <new>
#include <tuple>
#include <utility>

#include "device_language.h"

#define CUDART_VERSION 13000

#define CUDA_EMULATION_ERRORS(X)                                                            \
    X(cudaSuccess, 0, "no error")                                                           \
    X(cudaErrorInvalidValue, 1, "invalid argument")                                         \
    X(cudaErrorMemoryAllocation, 2, "out of memory")                                        \
    X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                   \
    X(cudaErrorInsufficientDriver, 35,                                                      \
      "CUDA driver version is insufficient for CUDA runtime version")                       \
    X(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable") \
    X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                        \
    X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                         \
    X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                \
    X(cudaErrorNoKernelImageForDevice, 209,                                                 \
      "no kernel image is available for execution on the device")                           \
    X(cudaErrorNotReady, 600, "device not ready")

enum cudaError_t {
#define CUDA_EMULATION_ERROR(name, value, text) name = value,
    CUDA_EMULATION_ERRORS(CUDA_EMULATION_ERROR)
#undef CUDA_EMULATION_ERROR
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaFuncAttribute {
    cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
    cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaEventDefault = 0 };

struct CUstream_st;
struct CUevent_st;
typedef CUstream_st *cudaStream_t;
typedef CUevent_st *cudaEvent_t;

struct cudaUUID_t {
    char bytes[16];
};

struct cudaDeviceProp {
    char name[256];
    cudaUUID_t uuid;
    size_t totalGlobalMem, sharedMemPerBlock, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, maxThreadsPerBlock;
};

struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

const char *cudaGetErrorString(cudaError_t error);
const char *cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaDeviceSynchronize();

cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaMalloc(void **start, size_t bytes);
cudaError_t cudaFree(void *start);
cudaError_t cudaMallocHost(void **start, size_t bytes);
cudaError_t cudaFreeHost(void *start);
template <typename T> cudaError_t cudaMalloc(T **start, size_t bytes)
{
    return cudaMalloc(reinterpret_cast<void **>(start), bytes);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *start, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to);

struct cudaFuncAttributes {
    int maxThreadsPerBlock;
};
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *kernel);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);

namespace emulation {

/* Begins a kernel. `parameters`, of so many bytes, belong to the launch from here on; `call` runs
 * the kernel with them for one thread. */
cudaError_t launch(const cudaLaunchConfig_t &config, const void *kernel, void *parameters,
                   size_t bytes, void (*call)(const void *kernel, void *parameters),
                   void (*release)(void *parameters));

template <typename... Parameters>
__attribute__((no_sanitize("thread"))) void call(const void *kernel, void *parameters)
{
    std::apply(reinterpret_cast<void (*)(Parameters...)>(const_cast<void *>(kernel)),
               *static_cast<std::tuple<Parameters...> *>(parameters));
}

template <typename... Parameters> void release(void *parameters)
{
    delete static_cast<std::tuple<Parameters...> *>(parameters);
}

} // namespace emulation

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Arguments &&...arguments)
{
    auto *parameters = new std::tuple<Parameters...>(std::forward<Arguments>(arguments)...);
    return emulation::launch(*config, reinterpret_cast<const void *>(kernel), parameters,
                             sizeof *parameters, emulation::call<Parameters...>,
                             emulation::release<Parameters...>);
}

#endif
