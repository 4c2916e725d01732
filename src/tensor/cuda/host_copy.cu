/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the device and the host's memory, and marks in what has been begun.
 */
#include <cstring>

#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"

void *cuda_allocate_host(Device *, size_t bytes)
{
    void *start = nullptr;
    cudaError_t error = cudaMallocHost(&start, bytes > 0 ? bytes : 1);
    if (error != cudaSuccess) {
        (void)cudaGetLastError(); /* it is answered here */
        return nullptr;
    }
    std::memset(start, 0, bytes);
    return start;
}

void cuda_release_host(Device *, void *start) { PAL_CUDA(cudaFreeHost(start)); }

static size_t bytes_of(Tensor x) { return checked_size(tensor_count(x)) * number_size(x.type); }

/* The host's numbers are float32: where the device's are not they pass through this on their way. */
static Tensor float32_of(Device *device, Tensor x)
{
    if (x.type == NUMBER_FLOAT32) return x;
    int64_t count = tensor_count(x);
    size_t bytes = checked_size(count) * sizeof(Real);
    return tensor_1d(static_cast<Real *>(cuda_workspace(device, bytes)), count);
}

/* --- at once ---------------------------------------------------------------------------------- */

void cuda_upload(Device *device, Tensor to, const Real *from)
{
    cudaStream_t stream = cuda_stream(device);
    Tensor sent = float32_of(device, to);
    PAL_CUDA(cudaMemcpyAsync(sent.data, from, bytes_of(sent), cudaMemcpyHostToDevice, stream));
    device_round(device, to, sent);
    PAL_CUDA(cudaStreamSynchronize(stream)); /* `from` may change from here on */
}

void cuda_download(Device *device, Real *to, Tensor from)
{
    cudaStream_t stream = cuda_stream(device);
    Tensor sent = float32_of(device, from);
    device_round(device, sent, from);
    PAL_CUDA(cudaMemcpyAsync(to, sent.data, bytes_of(sent), cudaMemcpyDeviceToHost, stream));
    PAL_CUDA(cudaStreamSynchronize(stream));
}

/* --- beside the operations -------------------------------------------------------------------- */

/* `later` goes on when all that was begun on `earlier` so far has ended. */
static void follow(CudaContext *context, cudaStream_t later, cudaStream_t earlier)
{
    PAL_CUDA(cudaEventRecord(context->between, earlier));
    PAL_CUDA(cudaStreamWaitEvent(later, context->between, 0));
}

void cuda_upload_begin(Device *device, Tensor to, const Real *from)
{
    CudaContext *context = cuda_context(device);
    PAL_ASSERT(to.type == NUMBER_FLOAT32);
    follow(context, context->copies, context->stream); /* which may still read what was there */
    PAL_CUDA(cudaMemcpyAsync(to.data, from, bytes_of(to), cudaMemcpyHostToDevice, context->copies));
    follow(context, context->stream, context->copies);
}

void cuda_download_begin(Device *device, Real *to, Tensor from)
{
    CudaContext *context = cuda_context(device);
    PAL_ASSERT(from.type == NUMBER_FLOAT32);
    follow(context, context->copies, context->stream);
    PAL_CUDA(
        cudaMemcpyAsync(to, from.data, bytes_of(from), cudaMemcpyDeviceToHost, context->copies));
}

/* Of both streams: the copies' one goes on from here behind the operations begun so far. */
int64_t cuda_mark(Device *device)
{
    CudaContext *context = cuda_context(device);
    int64_t mark = ++context->last_mark;
    follow(context, context->copies, context->stream);
    PAL_CUDA(cudaEventRecord(context->marks[mark % PAL_MARKS], context->copies));
    return mark;
}

void cuda_wait(Device *device, int64_t mark)
{
    CudaContext *context = cuda_context(device);
    PAL_ASSERT(mark > context->last_mark - PAL_MARKS && mark <= context->last_mark);
    if (mark > 0) PAL_CUDA(cudaEventSynchronize(context->marks[mark % PAL_MARKS]));
}

void cuda_synchronize(Device *device)
{
    CudaContext *context = cuda_context(device);
    PAL_CUDA(cudaStreamSynchronize(context->stream));
    PAL_CUDA(cudaStreamSynchronize(context->copies));
}
