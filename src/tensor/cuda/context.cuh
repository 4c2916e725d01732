/* SPDX-License-Identifier: Apache-2.0
 *
 * What the CUDA device keeps between operations: streams, the product library, scratch memory, and
 * the way of small host arrays to the kernels that read them.
 */
#ifndef PAL_TENSOR_CUDA_CONTEXT_CUH
#define PAL_TENSOR_CUDA_CONTEXT_CUH

#include <vector>

#include "src/tensor/cuda/common.cuh"

/* matmul.cu. Error: the library for products is not there. */
struct ProductCache;
Status product_cache_create(ProductCache **products);
void product_cache_destroy(ProductCache *products);
/* Numbers of the other type go to and from the host piece by piece, through the workspace. */
constexpr size_t PIECE = 1u << 20;

constexpr size_t PRODUCT_SCRATCH_BYTES = 32u << 20; /* that it has beside the workspace */

/* Host arrays go through a ring of pinned memory and its image on the device, which is cut into
 * parts: before a part is used again, what was begun when it was left has ended. */
constexpr int ARGUMENT_PARTS = 4;

struct ArgumentRing {
    unsigned char *host, *image; /* owned; part after part */
    size_t part_bytes, used;     /* used: of the current part */
    int part;
    cudaEvent_t left[ARGUMENT_PARTS];
    std::vector<unsigned char *> outgrown; /* owned; images of smaller rings */
};

struct CudaContext {
    int ordinal;         /* of this process' GPU among those it sees */
    cudaStream_t stream; /* operations, in the order of the calls */
    cudaStream_t copies; /* copies to and from the host beside them */
    cudaEvent_t between; /* where one stream waits for the other */
    cudaEvent_t marks[PAL_MARKS];
    int64_t last_mark;
    void *workspace; /* owned */
    size_t workspace_bytes;
    ArgumentRing arguments;
    double *sums_on_host; /* pinned; results of sums */
    ProductCache *products;
    bool in_phase; /* a profiler's range is open */
};

static inline CudaContext *cuda_context(Device *device)
{
    return static_cast<CudaContext *>(device->context);
}

/* Makes room for operations that will ask for so many bytes. Error: out of memory. */
Status cuda_workspace_reserve(Device *device, size_t bytes);

/* DeviceOps.reserve */
Status cuda_reserve(Device *device, OperationSizes sizes);

/* Scratch memory of one operation (all its kernels), 256-byte aligned, contents undefined. What was
 * not reserved is taken now; then the program stops when there is none. */
void *cuda_workspace(Device *device, size_t bytes);

/* An image on the device of a host array, for the kernels of one operation; 16-byte aligned. The
 * array may change as soon as the call returns. NULL stays NULL. */
const void *cuda_argument(Device *device, const void *host, size_t bytes);

template <typename T> const T *cuda_argument_array(Device *device, const T *host, int64_t count)
{
    return static_cast<const T *>(cuda_argument(device, host, checked_size(count) * sizeof(T)));
}

/* Frees what the functions above have taken. */
void cuda_scratch_destroy(CudaContext *context);

/* Waits for the operations begun so far, and gives `count` doubles that they left at `from`. */
const double *cuda_read_doubles(Device *device, const double *from, int count);

#endif
