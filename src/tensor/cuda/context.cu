/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/context.cuh"

#include "src/tensor/cuda/column_sums.cuh"

#include <cstring>
#include <utility>

void cuda_failed(cudaError_t error, const char *call, const char *file, int line)
{
    fatal(PAL_ERROR_UNAVAILABLE, "%s failed at %s:%d: %s (%s)", call, file, line,
          cudaGetErrorString(error), cudaGetErrorName(error));
}

cudaStream_t cuda_stream(Device *device) { return cuda_context(device)->stream; }

/* Whether there is memory; any other error ends the program. */
static bool is_there(cudaError_t error, const char *call)
{
    if (error == cudaSuccess) return true;
    if (error != cudaErrorMemoryAllocation) cuda_failed(error, call, __FILE__, __LINE__);
    (void)cudaGetLastError(); /* it is answered by the caller */
    return false;
}

Status cuda_workspace_reserve(Device *device, size_t bytes)
{
    CudaContext *context = cuda_context(device);
    if (bytes <= context->workspace_bytes) return PAL_OK;
    PAL_CUDA(cudaStreamSynchronize(context->stream));
    PAL_CUDA(cudaFree(context->workspace));
    size_t rounded = (bytes + 255) / 256 * 256;
    device->scratch_bytes += rounded - context->workspace_bytes;
    context->workspace_bytes = rounded; /* there or not, it is asked for once */
    context->workspace = nullptr;
    if (!is_there(cudaMalloc(&context->workspace, rounded), "cudaMalloc"))
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "out of memory on the GPU: operations need %zu bytes of scratch; try more ranks, "
                 "fewer rows, a smaller memory or a shorter window",
                 rounded);
    return PAL_OK;
}

void *cuda_workspace(Device *device, size_t bytes)
{
    Status status = cuda_workspace_reserve(device, bytes);
    if (status != PAL_OK) fatal(status, "%s", status_message());
    return cuda_context(device)->workspace;
}

/* --- host arrays ------------------------------------------------------------------------------ */

static void free_ring(ArgumentRing *ring)
{
    for (cudaEvent_t &left : ring->left)
        if (left != nullptr) PAL_CUDA(cudaEventDestroy(left));
    if (ring->host != nullptr) PAL_CUDA(cudaFreeHost(ring->host));
    PAL_CUDA(cudaFree(ring->image));
    for (unsigned char *image : ring->outgrown) PAL_CUDA(cudaFree(image));
    *ring = {};
}

/* The operation that needs a larger ring may have other arrays in the present image, for kernels
 * that are still to be begun: it stays. As rings double, all that stay are smaller than the last. */
static void outgrow_ring(ArgumentRing *ring)
{
    std::vector<unsigned char *> outgrown = std::move(ring->outgrown);
    if (ring->image != nullptr) outgrown.push_back(ring->image);
    ring->outgrown.clear();
    ring->image = nullptr;
    free_ring(ring);
    ring->outgrown = std::move(outgrown);
}

/* A ring whose parts have room for `bytes`. Error: out of memory, on the GPU or for pinned pages. */
static Status make_ring(Device *device, size_t bytes)
{
    CudaContext *context = cuda_context(device);
    ArgumentRing *ring = &context->arguments;
    if (bytes <= ring->part_bytes) return PAL_OK;
    size_t part_bytes = 256 * 1024, before = ARGUMENT_PARTS * ring->part_bytes;
    while (part_bytes < bytes) part_bytes *= 2;
    PAL_CUDA(cudaStreamSynchronize(context->stream));
    outgrow_ring(ring);
    size_t all = ARGUMENT_PARTS * part_bytes;
    device->scratch_bytes += all - before;
    ring->part_bytes = part_bytes;
    if (!is_there(cudaMallocHost(reinterpret_cast<void **>(&ring->host), all), "cudaMallocHost") ||
        !is_there(cudaMalloc(reinterpret_cast<void **>(&ring->image), all), "cudaMalloc"))
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "out of memory: lists of tokens and counts need %zu bytes, pinned and on the GPU; "
                 "try fewer rows or a shorter window",
                 all);
    for (cudaEvent_t &left : ring->left) {
        PAL_CUDA(cudaEventCreateWithFlags(&left, cudaEventDisableTiming));
        PAL_CUDA(cudaEventRecord(left, context->stream));
    }
    return PAL_OK;
}

const void *cuda_argument(Device *device, const void *host, size_t bytes)
{
    CudaContext *context = cuda_context(device);
    ArgumentRing *ring = &context->arguments;
    if (host == nullptr) return nullptr;
    size_t rounded = (bytes + 15) / 16 * 16;
    Status status = make_ring(device, rounded); /* nothing where all was reserved */
    if (status != PAL_OK) fatal(status, "%s", status_message());
    if (ring->used + rounded > ring->part_bytes) {
        PAL_CUDA(cudaEventRecord(ring->left[ring->part], context->stream));
        ring->part = (ring->part + 1) % ARGUMENT_PARTS;
        ring->used = 0;
        PAL_CUDA(cudaEventSynchronize(ring->left[ring->part]));
    }
    size_t at = static_cast<size_t>(ring->part) * ring->part_bytes + ring->used;
    ring->used += rounded;
    if (bytes == 0) return ring->image + at;
    std::memcpy(ring->host + at, host, bytes);
    PAL_CUDA(cudaMemcpyAsync(ring->image + at, ring->host + at, bytes, cudaMemcpyHostToDevice,
                             context->stream));
    return ring->image + at;
}

/* The largest arrays are the embedding's: rows, chunks and tokens, in order (embedding.cu). Sums of
 * columns have two quantities (layer_norm.cu). */
Status cuda_reserve(Device *device, OperationSizes sizes)
{
    size_t numbers = column_sums_numbers(INT64_MAX / 2, sizes.columns, 2);
    size_t of_embedding = checked_size(sizes.rows * sizes.width);
    if (of_embedding > numbers) numbers = of_embedding;
    if (PIECE > numbers) numbers = PIECE;
    PAL_TRY(cuda_workspace_reserve(device, numbers * sizeof(float)));
    return make_ring(device, 4 * checked_size(sizes.rows + 4) * sizeof(int32_t));
}

/* --- results ---------------------------------------------------------------------------------- */

enum { MOST_SUMS = 64 };

const double *cuda_read_doubles(Device *device, const double *from, int count)
{
    CudaContext *context = cuda_context(device);
    PAL_ASSERT(count <= MOST_SUMS);
    if (context->sums_on_host == nullptr)
        PAL_CUDA(cudaMallocHost(reinterpret_cast<void **>(&context->sums_on_host),
                                MOST_SUMS * sizeof(double)));
    PAL_CUDA(cudaMemcpyAsync(context->sums_on_host, from, static_cast<size_t>(count) * sizeof *from,
                             cudaMemcpyDeviceToHost, context->stream));
    PAL_CUDA(cudaStreamSynchronize(context->stream));
    return context->sums_on_host;
}

void cuda_scratch_destroy(CudaContext *context)
{
    free_ring(&context->arguments);
    PAL_CUDA(cudaFree(context->workspace));
    if (context->sums_on_host != nullptr) PAL_CUDA(cudaFreeHost(context->sums_on_host));
}
