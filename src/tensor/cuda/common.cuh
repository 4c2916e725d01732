/* SPDX-License-Identifier: Apache-2.0
 *
 * What every file of the CUDA device includes: the project's C headers, the runtime, checked calls
 * and the launch of kernels.
 */
#ifndef PAL_TENSOR_CUDA_COMMON_CUH
#define PAL_TENSOR_CUDA_COMMON_CUH

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

extern "C" {
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/status.h"
#include "src/tensor/device.h"
}

static_assert(sizeof(Real) == sizeof(float), "the CUDA device computes in single precision");

/* Ends all ranks with the text of the error: what was asked for is checked before, so this is a
 * broken driver, device or kernel. */
[[noreturn]] void cuda_failed(cudaError_t error, const char *call, const char *file, int line);

/* Every call is checked in every build. */
#define PAL_CUDA(call)                                                                             \
    do {                                                                                           \
        cudaError_t pal_cuda_error = (call);                                                       \
        if (pal_cuda_error != cudaSuccess) cuda_failed(pal_cuda_error, #call, __FILE__, __LINE__); \
    } while (0)

enum : int {
    WARP = 32,
    BLOCK = 256, /* threads of a block where nothing asks for another number */
};

/* The stream that all operations are begun on. */
cudaStream_t cuda_stream(Device *device);

/* Shared memory without asking for more; a kernel with more sets its attribute once per call. */
constexpr size_t PLAIN_SHARED_BYTES = 48 * 1024;
/* That a block of any kernel may ask for: what an A100 has. */
constexpr size_t MOST_SHARED_BYTES = 163 * 1024;

/* Begins a kernel; nothing where the grid is empty. Arguments are converted to the kernel's
 * parameters, so that types need not match to the letter. */
template <typename... Parameters, typename... Arguments>
void launch(Device *device, void (*kernel)(Parameters...), dim3 blocks, int threads,
            size_t shared_bytes, Arguments... arguments)
{
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
    PAL_ASSERT(shared_bytes <= MOST_SHARED_BYTES);
    if (shared_bytes > PLAIN_SHARED_BYTES)
        PAL_CUDA(cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                      cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes)));
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared_bytes;
    config.stream = cuda_stream(device);
    PAL_CUDA(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...));
}

/* Blocks that cover `count` pieces of work, `each` in a block. */
static inline unsigned blocks_for(int64_t count, int64_t each)
{
    return static_cast<unsigned>(checked_int((count + each - 1) / each));
}

/* Of kernels that walk over any number of elements with a stride of the whole grid. */
static inline unsigned blocks_for_elements(int64_t count)
{
    constexpr int64_t most = 4096; /* more than any GPU has room for at a time */
    int64_t wanted = (count + BLOCK - 1) / BLOCK;
    return static_cast<unsigned>(wanted < most ? wanted : most);
}

/* --- in kernels ------------------------------------------------------------------------------- */

/* The one name of shared memory: all of it is asked for at the launch. */
extern __shared__ __align__(16) unsigned char pal_shared_bytes[];

template <typename T> static __device__ __forceinline__ T *shared_memory(size_t offset_bytes = 0)
{
    return reinterpret_cast<T *>(pal_shared_bytes + offset_bytes);
}

static __device__ __forceinline__ int64_t first_element()
{
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

static __device__ __forceinline__ int64_t element_stride()
{
    return static_cast<int64_t>(gridDim.x) * blockDim.x;
}

#endif
