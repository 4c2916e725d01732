/* SPDX-License-Identifier: Apache-2.0 */
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "src/tensor/cuda/attention.cuh"
#include "src/tensor/cuda/context.cuh"
#include "src/tensor/cuda/cuda_ops.cuh"

static void *cuda_allocate(Device *device, size_t bytes)
{
    void *start = nullptr;
    cudaError_t error = cudaMalloc(&start, bytes > 0 ? bytes : 1);
    if (error == cudaErrorMemoryAllocation || error == cudaErrorInvalidValue) {
        (void)cudaGetLastError(); /* it is answered here */
        return nullptr;
    }
    PAL_CUDA(error);
    PAL_CUDA(cudaMemsetAsync(start, 0, bytes > 0 ? bytes : 1, cuda_stream(device)));
    return start;
}

static void cuda_release(Device *device, void *start)
{
    cuda_synchronize(device);
    PAL_CUDA(cudaFree(start));
}

static void cuda_destroy(Device *device)
{
    CudaContext *context = cuda_context(device);
    cuda_synchronize(device);
    product_cache_destroy(context->products);
    cuda_scratch_destroy(context);
    for (cudaEvent_t mark : context->marks) PAL_CUDA(cudaEventDestroy(mark));
    PAL_CUDA(cudaEventDestroy(context->between));
    PAL_CUDA(cudaStreamDestroy(context->stream));
    PAL_CUDA(cudaStreamDestroy(context->copies));
    delete context;
    delete device;
}

static const DeviceOps cuda_ops = {
    .name = "cuda",
    .destroy = cuda_destroy,
    .allocate = cuda_allocate,
    .release = cuda_release,
    .allocate_host = cuda_allocate_host,
    .release_host = cuda_release_host,
    .upload = cuda_upload,
    .download = cuda_download,
    .reserve = cuda_reserve,
    .upload_begin = cuda_upload_begin,
    .download_begin = cuda_download_begin,
    .mark = cuda_mark,
    .wait = cuda_wait,
    .synchronize = cuda_synchronize,
    .enter_phase = cuda_enter_phase,
    .matmul = cuda_matmul,
    .reserve_attention = cuda_reserve_attention,
    .attention_forward = cuda_attention_forward,
    .attention_backward = cuda_attention_backward,
    .attention_usage = cuda_attention_usage,
    .layer_norm_forward = cuda_layer_norm_forward,
    .layer_norm_backward = cuda_layer_norm_backward,
    .embedding_forward = cuda_embedding_forward,
    .embedding_backward = cuda_embedding_backward,
    .cross_entropy = cuda_cross_entropy,
    .cross_entropy_slice = cuda_cross_entropy_slice,
    .cross_entropy_join = cuda_cross_entropy_join,
    .relu_backward = cuda_relu_backward,
    .gelu_forward = cuda_gelu_forward,
    .gelu_backward = cuda_gelu_backward,
    .dropout = cuda_dropout,
    .fill = cuda_fill,
    .scale = cuda_scale,
    .add = cuda_add,
    .copy_blocks = cuda_copy_blocks,
    .add_column_sums = cuda_add_column_sums,
    .pool_mean = cuda_pool_mean,
    .pool_max = cuda_pool_max,
    .pair_with_earlier = cuda_pair_with_earlier,
    .pair_with_earlier_backward = cuda_pair_with_earlier_backward,
    .select_rows = cuda_select_rows,
    .squared_error = cuda_squared_error,
    .sum = cuda_sum,
    .sum_of_squares = cuda_sum_of_squares,
    .adam = cuda_adam,
};

/* --- which GPU -------------------------------------------------------------------------------- */

/* Where a list of GPUs is given, it may be what hides them. */
static const char *visible_devices(char text[160])
{
    const char *list = getenv("CUDA_VISIBLE_DEVICES");
    text[0] = '\0';
    if (list != nullptr) snprintf(text, 160, " (CUDA_VISIBLE_DEVICES is \"%.100s\")", list);
    return text;
}

static Status count_gpus(int *count)
{
    char visible[160];
    cudaError_t error = cudaGetDeviceCount(count);
    (void)cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) {
        int driver = 0;
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
            PAL_FAIL(
                PAL_ERROR_UNAVAILABLE,
                "there is no NVIDIA driver on this machine; start on a node with a GPU (SLURM: "
                "--gpus-per-node), or set device.name = cpu");
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "the NVIDIA driver is for CUDA %d.%d, this build is made with CUDA %d.%d; a newer "
                 "driver is needed, or a build with an older toolkit, or device.name = cpu",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    }
    if (error == cudaErrorNoDevice || (error == cudaSuccess && *count == 0))
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "the NVIDIA driver is there, but no GPU%s; ask the launcher for one (SLURM: "
                 "--gpus-per-node), or set device.name = cpu",
                 visible_devices(visible));
    if (error != cudaSuccess)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "the GPUs cannot be counted: %s (%s)%s; nvidia-smi may say more, or set "
                 "device.name = cpu",
                 cudaGetErrorString(error), cudaGetErrorName(error), visible_devices(visible));
    return PAL_OK;
}

static Status look_at(int ordinal, Device *device)
{
    cudaDeviceProp gpu = {};
    int driver = 0;
    PAL_CUDA(cudaGetDeviceProperties(&gpu, ordinal));
    if (gpu.major < 8)
        PAL_FAIL(
            PAL_ERROR_UNAVAILABLE,
            "GPU %d is a %s of compute capability %d.%d; palimpsest needs 8.0 (A100) or newer; "
            "choose another by CUDA_VISIBLE_DEVICES, or set device.name = cpu",
            ordinal, gpu.name, gpu.major, gpu.minor);
    if (gpu.sharedMemPerBlockOptin < MOST_SHARED_BYTES)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "GPU %d is a %s with %zu KiB of shared memory for a block of threads; attention "
                 "needs %zu (A100, H100 and their like have it); choose another by "
                 "CUDA_VISIBLE_DEVICES, or set device.name = cpu",
                 ordinal, gpu.name, static_cast<size_t>(gpu.sharedMemPerBlockOptin) / 1024,
                 MOST_SHARED_BYTES / 1024);
    PAL_CUDA(cudaDriverGetVersion(&driver));
    snprintf(device->description, sizeof device->description,
             "%.60s, %.1f GiB, %d SMs, compute capability %d.%d, driver %d.%d, CUDA %d.%d",
             gpu.name, static_cast<double>(gpu.totalGlobalMem) * 0x1p-30, gpu.multiProcessorCount,
             gpu.major, gpu.minor, driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
             CUDART_VERSION % 1000 / 10);
    static_assert(sizeof gpu.uuid.bytes == sizeof device->hardware, "a UUID has 16 bytes");
    std::memcpy(device->hardware, gpu.uuid.bytes, sizeof device->hardware);
    return PAL_OK;
}

/* Stands for all kernels: they are compiled for the same architectures. */
static __global__ void any_kernel() {}

/* The first calls that need the GPU itself: it may be another's, or full, or one that no code is
 * there for. */
static Status take(int ordinal, const char *description)
{
    cudaFuncAttributes code;
    cudaError_t error = cudaSetDevice(ordinal);
    if (error == cudaSuccess) error = cudaFree(nullptr);
    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&code, reinterpret_cast<const void *>(any_kernel));
    if (error == cudaSuccess) return PAL_OK;
    (void)cudaGetLastError();
    if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "GPU %d (%s) is of an architecture that this build has no code for (%s); build "
                 "with it among -DCMAKE_CUDA_ARCHITECTURES, or set device.name = cpu",
                 ordinal, description, cudaGetErrorName(error));
    if (error == cudaErrorMemoryAllocation)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "GPU %d (%s) has no memory left to begin with; end the processes that fill it "
                 "(nvidia-smi shows them), or set device.name = cpu",
                 ordinal, description);
    PAL_FAIL(PAL_ERROR_UNAVAILABLE,
             "GPU %d (%s) cannot be used: %s (%s); expected one that is free for this process: "
             "another may have it for itself, or it is in a mode that forbids use (nvidia-smi "
             "shows both), or set device.name = cpu",
             ordinal, description, cudaGetErrorString(error), cudaGetErrorName(error));
}

static void make_streams(CudaContext *context)
{
    PAL_CUDA(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking));
    PAL_CUDA(cudaStreamCreateWithFlags(&context->copies, cudaStreamNonBlocking));
    PAL_CUDA(cudaEventCreateWithFlags(&context->between, cudaEventDisableTiming));
    for (cudaEvent_t &mark : context->marks)
        PAL_CUDA(cudaEventCreateWithFlags(&mark, cudaEventDisableTiming));
}

extern "C" Status device_create_cuda(Device **device_result, int local_rank)
{
    *device_result = nullptr;
    int count = 0;
    Device found = {};
    PAL_TRY(count_gpus(&count));
    int ordinal = local_rank % count;
    PAL_TRY(look_at(ordinal, &found));
    PAL_TRY(take(ordinal, found.description));

    size_t of_all;
    PAL_CUDA(cudaMemGetInfo(&found.free_bytes, &of_all));
    ProductCache *products;
    PAL_TRY(product_cache_create(&products));
    CudaContext *context = new CudaContext{};
    context->ordinal = ordinal;
    context->products = products;
    make_streams(context);
    found.op = &cuda_ops;
    found.context = context;
    found.scratch_bytes = PRODUCT_SCRATCH_BYTES;
    found.threads = 1;
    *device_result = new Device(found);
    return PAL_OK;
}
