/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker of the CUDA emulation is itself proven: every fault that is planted here is found,
 * and named for what it is, in a child process; and the same kernel without the fault gives the
 * right numbers. Then the instructions that the attention kernels stand on, against plain loops.
 */
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#include "src/tensor/cuda/ptx.cuh"

extern __shared__ __align__(16) unsigned char pal_shared_bytes[];

static cudaStream_t stream;

static void succeed(cudaError_t error)
{
    if (error != cudaSuccess) fail_msg("%s", cudaGetErrorName(error));
}

/* Device memory of `count` floats that are 0, 1, 2, ... */
static float *counting(int count)
{
    float *start, *host;
    succeed(cudaMalloc(&start, static_cast<size_t>(count) * sizeof(float)));
    host = static_cast<float *>(malloc(static_cast<size_t>(count) * sizeof(float)));
    for (int i = 0; i < count; i++) host[i] = static_cast<float>(i);
    succeed(cudaMemcpyAsync(start, host, static_cast<size_t>(count) * sizeof(float),
                            cudaMemcpyHostToDevice, stream));
    free(host); /* pageable: read at once */
    return start;
}

static std::vector<float> read_back(const float *start, int count)
{
    std::vector<float> host(static_cast<size_t>(count));
    succeed(cudaMemcpyAsync(host.data(), start, host.size() * sizeof(float), cudaMemcpyDeviceToHost,
                            stream));
    return host;
}

template <typename... Parameters, typename... Arguments>
static cudaError_t begin(void (*kernel)(Parameters...), int blocks, int threads, size_t shared,
                         Arguments... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/* --- kernels, each with and without its fault ------------------------------------------------- */

/* Reverses the numbers of a block through shared memory. */
static __global__ void reverse(float *x, bool barrier)
{
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    unsigned i = threadIdx.x;
    shared[i] = 0.0f;
    __syncthreads();
    shared[i] = x[i];
    if (barrier) __syncthreads();
    x[i] = shared[blockDim.x - 1 - i];
}

/* The same for a warp, which __syncwarp is enough for; a shuffle is not. */
static __global__ void reverse_warp(float *x, bool barrier)
{
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    unsigned i = threadIdx.x;
    shared[i] = 0.0f;
    __syncwarp();
    shared[i] = x[i];
    if (barrier)
        __syncwarp();
    else
        (void)__shfl_sync(0xffffffffu, 1.0f, 0);
    x[i] = shared[31 - i];
}

static __global__ void shared_index(float *x, int beyond)
{
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    shared[static_cast<int>(threadIdx.x) + beyond] = 1.0f;
    x[threadIdx.x] = shared[static_cast<int>(threadIdx.x) + beyond];
}

static __global__ void global_index(float *x, int beyond)
{
    x[static_cast<int>(threadIdx.x) + beyond] = 1.0f;
}

/* Indices of what the kernel has for itself: an array of a thread, one of several dimensions. */
static __global__ void local_index(float *x, int count, int row)
{
    float own[4], pairs[3][2] = {{1.0f, 2.0f}, {3.0f, 4.0f}, {5.0f, 6.0f}};
    for (int i = 0; i < count; i++) own[i] = x[i];
    x[threadIdx.x] = own[threadIdx.x % 4] + pairs[row][threadIdx.x % 2];
}

static __global__ void barrier_in_branch(float *x, unsigned half)
{
    if (threadIdx.x < half)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1.0f;
}

static __global__ void early_exit(float *x, unsigned leaving)
{
    if (threadIdx.x < leaving) return;
    __syncthreads();
    x[threadIdx.x] = 1.0f;
}

static __global__ void divergent_shuffle(float *x, unsigned half)
{
    float value = static_cast<float>(threadIdx.x);
    if (threadIdx.x < half) value = __shfl_xor_sync(0xffffffffu, value, 1);
    x[threadIdx.x] = value;
}

static __global__ void read_shared(float *x, bool written)
{
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    if (written) shared[threadIdx.x] = 1.0f;
    x[threadIdx.x] = shared[threadIdx.x];
}

static __global__ void copy_number(float *to, const float *from)
{
    to[threadIdx.x] = from[threadIdx.x];
}

static __global__ void vector_load(float *x, int offset)
{
    float4 four = *reinterpret_cast<const float4 *>(x + offset);
    x[16] = four.x + four.y + four.z + four.w;
}

static __global__ void asynchronous(float *x, bool wait, bool barrier)
{
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    unsigned i = threadIdx.x;
    ptx::copy_async_4(shared + i, x + i, true);
    ptx::copy_async_commit();
    if (wait) ptx::copy_async_wait<0>();
    if (barrier) __syncthreads();
    float value = shared[(i + 1) % blockDim.x];
    ptx::copy_async_wait<0>();
    x[i] = value;
}

/* Every block adds to one number. */
static __global__ void between_blocks(float *x, int step)
{
    x[static_cast<int>(blockIdx.x) * step] += 1.0f;
}

static __global__ void nothing(float *) {}

/* --- faults ----------------------------------------------------------------------------------- */

/* Runs `fault` in a child, which has to abort with these words on stderr. */
template <typename Fault> static void expect_fault(const char *words, Fault fault)
{
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fault();
        cudaDeviceSynchronize();
        _exit(0);
    }
    close(pipe_ends[1]);
    std::string said;
    char piece[512];
    for (ssize_t got; (got = read(pipe_ends[0], piece, sizeof piece)) > 0;)
        said.append(piece, static_cast<size_t>(got));
    close(pipe_ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        said.find(words) == std::string::npos)
        fail_msg("expected \"%s\", status 0x%x, said: %s", words, static_cast<unsigned>(status),
                 said.c_str());
}

static void a_missing_barrier_is_found(void **)
{
    float *x = counting(64);
    succeed(begin(reverse, 1, 64, 256, x, true));
    assert_true(read_back(x, 64)[3] == 60.0f);
    expect_fault("with no barrier between", [&] { begin(reverse, 1, 64, 256, x, false); });
    expect_fault("test_cuda_emulation.cu:", [&] { begin(reverse, 1, 64, 256, x, false); });
    succeed(cudaFree(x));
}

static void a_missing_barrier_in_a_warp_is_found(void **)
{
    float *x = counting(32);
    succeed(begin(reverse_warp, 1, 32, 128, x, true));
    assert_true(read_back(x, 32)[3] == 28.0f);
    expect_fault("with no barrier between", [&] { begin(reverse_warp, 1, 32, 128, x, false); });
    succeed(cudaFree(x));
}

static void an_index_beyond_the_end_is_found(void **)
{
    float *x = counting(32);
    succeed(begin(shared_index, 1, 32, 128, x, 0));
    succeed(begin(global_index, 1, 32, 0, x, 0));
    assert_true(read_back(x, 32)[31] == 1.0f);
    expect_fault("out of range: writes 4 bytes at 128 of 128 bytes of shared memory",
                 [&] { begin(shared_index, 1, 32, 128, x, 1); });
    expect_fault("out of range: writes 4 bytes at byte 128 of 128 bytes of device memory",
                 [&] { begin(global_index, 1, 32, 0, x, 1); });
    succeed(cudaFree(x));
}

static void an_index_beyond_a_local_array_is_found(void **)
{
    float *x = counting(32);
    succeed(begin(local_index, 1, 1, 0, x, 4, 2));
    assert_true(read_back(x, 32)[0] == 5.0f);
    expect_fault("out of range: index 4 of a local array or a table, 'float [4]'",
                 [&] { begin(local_index, 1, 1, 0, x, 5, 2); });
    expect_fault("out of range: index 3 of a local array or a table, 'float [3][2]'",
                 [&] { begin(local_index, 1, 1, 0, x, 4, 3); });
    expect_fault("index -1 of", [&] { begin(local_index, 1, 1, 0, x, 4, -1); });
    succeed(cudaFree(x));
}

static void divergence_is_found(void **)
{
    float *x = counting(64);
    succeed(begin(barrier_in_branch, 1, 64, 0, x, 64u));
    succeed(begin(early_exit, 1, 64, 0, x, 0u));
    assert_true(read_back(x, 64)[63] == 1.0f);
    expect_fault("divergent barrier", [&] { begin(barrier_in_branch, 1, 64, 0, x, 32u); });
    expect_fault("has left the kernel", [&] { begin(early_exit, 1, 64, 0, x, 7u); });
    expect_fault("divergent barrier", [&] { begin(divergent_shuffle, 1, 32, 0, x, 16u); });
    succeed(cudaFree(x));
}

static void a_read_of_never_written_memory_is_found(void **)
{
    float *x = counting(32), *unwritten;
    succeed(cudaMalloc(&unwritten, 128));
    succeed(begin(read_shared, 1, 32, 128, x, true));
    assert_true(read_back(x, 32)[5] == 1.0f);
    expect_fault("reads never-written shared memory",
                 [&] { begin(read_shared, 1, 32, 128, x, false); });
    expect_fault("reads never-written device memory",
                 [&] { begin(copy_number, 1, 32, 0, x, unwritten); });
    expect_fault("a copy reads never-written device memory", [&] { read_back(unwritten, 32); });
    succeed(cudaFree(x));
    succeed(cudaFree(unwritten));
}

static void an_unaligned_vector_is_found(void **)
{
    float *x = counting(32);
    succeed(begin(vector_load, 1, 1, 0, x, 4));
    assert_true(read_back(x, 32)[16] == 4.0f + 5.0f + 6.0f + 7.0f);
    expect_fault("unaligned", [&] { begin(vector_load, 1, 1, 0, x, 5); });
    succeed(cudaFree(x));
}

static void an_asynchronous_copy_must_be_waited_for(void **)
{
    float *x = counting(64);
    succeed(begin(asynchronous, 1, 64, 256, x, true, true));
    assert_true(read_back(x, 64)[63] == 0.0f);
    expect_fault("never-written shared memory",
                 [&] { begin(asynchronous, 1, 64, 256, x, false, true); });
    /* Another thread's copy has not been waited for yet, or has with no barrier between. */
    expect_fault("shared memory", [&] { begin(asynchronous, 1, 64, 256, x, true, false); });
    succeed(cudaFree(x));
}

static void a_race_between_blocks_is_found(void **)
{
    float *x = counting(32);
    succeed(begin(between_blocks, 8, 1, 0, x, 1));
    assert_true(read_back(x, 32)[7] == 8.0f);
    expect_fault("which another block", [&] { begin(between_blocks, 8, 1, 0, x, 0); });
    succeed(cudaFree(x));
}

static void launch_limits_hold(void **)
{
    float *x = counting(1);
    auto kernel = reinterpret_cast<const void *>(nothing);
    assert_int_equal(begin(nothing, 1, 1025, 0, x), cudaErrorInvalidConfiguration);
    assert_int_equal(begin(nothing, 0, 32, 0, x), cudaErrorInvalidConfiguration);
    assert_int_equal(begin(nothing, 1, 32, 49 * 1024, x), cudaErrorInvalidConfiguration);
    succeed(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024));
    succeed(begin(nothing, 1, 32, 49 * 1024, x));
    assert_int_equal(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 * 1024),
        cudaErrorInvalidValue);
    succeed(cudaFree(x));
}

static void the_host_stays_out_of_device_memory(void **)
{
    float *x = counting(32);
    expect_fault("host code touched device memory", [&] {
        read_back(x, 1);
        x[3] = 1.0f;
    });
    expect_fault("a kernel reads host memory", [&] {
        static float *host = static_cast<float *>(calloc(32, sizeof(float)));
        begin(copy_number, 1, 32, 0, x, host);
    });
    succeed(cudaFree(x));
    expect_fault("freed device memory", [&] { begin(global_index, 1, 32, 0, x, 0); });
    expect_fault("is freed already", [&] { cudaFree(x); });
}

/* --- streams ---------------------------------------------------------------------------------- */

/* Nothing runs before it is waited for, so what reads too early finds what was there before. */
static void streams_run_as_late_as_they_may(void **)
{
    cudaStream_t other;
    cudaEvent_t event;
    float *x = counting(32), *pinned, *seen;
    succeed(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    succeed(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    succeed(cudaMallocHost(reinterpret_cast<void **>(&pinned), 128));
    seen = pinned;
    for (int i = 0; i < 32; i++) pinned[i] = -1.0f;
    succeed(begin(global_index, 1, 32, 0, x, 0));
    succeed(cudaEventRecord(event, stream));
    succeed(cudaStreamWaitEvent(other, event, 0));
    succeed(cudaMemcpyAsync(pinned, x, 128, cudaMemcpyDeviceToHost, other));
    assert_true(seen[0] == -1.0f); /* not waited for */
    succeed(cudaStreamSynchronize(other));
    assert_true(seen[0] == 1.0f && seen[31] == 1.0f); /* the kernel came first */
    succeed(cudaFreeHost(pinned));
    succeed(cudaFree(x));
    succeed(cudaEventDestroy(event));
    succeed(cudaStreamDestroy(other));
}

/* --- instructions ----------------------------------------------------------------------------- */

static __global__ void shuffles(float *x)
{
    float own = static_cast<float>(threadIdx.x % 32);
    x[threadIdx.x] = own + 100.0f * __shfl_xor_sync(0xffffffffu, own, 5) +
                     10000.0f * __shfl_down_sync(0xffffffffu, own, 3u);
}

static void shuffles_exchange_lanes(void **)
{
    float *x = counting(64);
    succeed(begin(shuffles, 1, 64, 0, x));
    std::vector<float> found = read_back(x, 64);
    for (int i = 0; i < 64; i++) {
        int lane = i % 32, down = lane + 3 < 32 ? lane + 3 : lane;
        assert_true(found[static_cast<size_t>(i)] ==
                    static_cast<float>(lane + 100 * (lane ^ 5) + 10000 * down));
    }
    succeed(cudaFree(x));
}

/* c (16,8) = a (16,16) b (16,8), a row-major and b as (8,16) or (16,8) in shared memory. */
static __global__ void multiply_tile(float *c, const float *a, const float *b, bool transposed)
{
    auto *shared = reinterpret_cast<__nv_bfloat16 *>(pal_shared_bytes);
    int lane = static_cast<int>(threadIdx.x);
    for (int i = lane; i < 256; i += 32) shared[i] = __float2bfloat16(a[i]);
    for (int i = lane; i < 128; i += 32)
        shared[256 + (transposed ? i : i % 8 * 16 + i / 8)] = __float2bfloat16(b[i]);
    __syncwarp();
    uint32_t of_a[4], of_b[2];
    ptx::load_matrix_x4(of_a, shared + lane % 16 * 16 + lane / 16 * 8);
    if (transposed)
        ptx::load_matrix_x2_transposed(of_b, shared + 256 + lane % 16 * 8);
    else
        ptx::load_matrix_x2(of_b, shared + 256 + lane % 8 * 16 + lane / 8 % 2 * 8);
    float sums[4] = {};
    ptx::multiply_bf16(sums, of_a, of_b);
    for (int k = 0; k < 4; k++) c[(lane / 4 + 8 * (k / 2)) * 8 + 2 * (lane % 4) + k % 2] = sums[k];
}

static void tensor_cores_multiply(void **)
{
    float *c = counting(128), *a = counting(256), *b = counting(128);
    for (int transposed = 0; transposed < 2; transposed++) {
        succeed(begin(multiply_tile, 1, 32, 1024, c, a, b, transposed != 0));
        std::vector<float> found = read_back(c, 128);
        for (int i = 0; i < 16; i++)
            for (int j = 0; j < 8; j++) {
                float sum = 0; /* all numbers and products are exact */
                for (int k = 0; k < 16; k++)
                    sum += static_cast<float>(16 * i + k) * static_cast<float>(8 * k + j);
                assert_true(found[static_cast<size_t>(8 * i + j)] == sum);
            }
    }
    succeed(cudaFree(a));
    succeed(cudaFree(b));
    succeed(cudaFree(c));
}

int main()
{
    succeed(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_barrier_is_found),
        cmocka_unit_test(a_missing_barrier_in_a_warp_is_found),
        cmocka_unit_test(an_index_beyond_the_end_is_found),
        cmocka_unit_test(an_index_beyond_a_local_array_is_found),
        cmocka_unit_test(divergence_is_found),
        cmocka_unit_test(a_read_of_never_written_memory_is_found),
        cmocka_unit_test(an_unaligned_vector_is_found),
        cmocka_unit_test(an_asynchronous_copy_must_be_waited_for),
        cmocka_unit_test(a_race_between_blocks_is_found),
        cmocka_unit_test(launch_limits_hold),
        cmocka_unit_test(the_host_stays_out_of_device_memory),
        cmocka_unit_test(streams_run_as_late_as_they_may),
        cmocka_unit_test(shuffles_exchange_lanes),
        cmocka_unit_test(tensor_cores_multiply),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
