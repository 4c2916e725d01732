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

/* --- at once ---------------------------------------------------------------------------------- */

/* The host's numbers are float32: where the device's are not, f(tensor, float32 room, first number)
 * moves a piece by way of the workspace. */
template <typename F> static void by_pieces(Device *device, Tensor x, F f)
{
    constexpr int64_t most = PIECE;
    int64_t count = tensor_count(x);
    Real *room = static_cast<Real *>(cuda_workspace(device, PIECE * sizeof(Real)));
    for (int64_t first = 0; first < count; first += most) {
        int64_t numbers = count - first < most ? count - first : most;
        f(tensor_part_1d(x, first, numbers), tensor_1d(room, numbers), first);
    }
}

static void upload(Device *device, Tensor to, const Real *from)
{
    cudaStream_t stream = cuda_stream(device);
    PAL_CUDA(cudaMemcpyAsync(to.data, from, bytes_of(to), cudaMemcpyHostToDevice, stream));
    PAL_CUDA(cudaStreamSynchronize(stream)); /* `from` may change from here on */
}

static void download(Device *device, Real *to, Tensor from)
{
    cudaStream_t stream = cuda_stream(device);
    PAL_CUDA(cudaMemcpyAsync(to, from.data, bytes_of(from), cudaMemcpyDeviceToHost, stream));
    PAL_CUDA(cudaStreamSynchronize(stream));
}

void cuda_upload(Device *device, Tensor to, const Real *from)
{
    if (to.type == NUMBER_FLOAT32)
        upload(device, to, from);
    else
        by_pieces(device, to, [&](Tensor piece, Tensor room, int64_t first) {
            upload(device, room, from + first);
            device_copy(device, piece, room);
        });
}

void cuda_download(Device *device, Real *to, Tensor from)
{
    if (from.type == NUMBER_FLOAT32)
        download(device, to, from);
    else
        by_pieces(device, from, [&](Tensor piece, Tensor room, int64_t first) {
            device_copy(device, room, piece);
            download(device, to + first, room);
        });
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
