/* SPDX-License-Identifier: Apache-2.0
 *
 * The emulation of CUDA where it is easily wrong: correct programs that a checker may take for
 * faulty ones, blocks that are not whole warps, host threads beside kernels, and the faults at the
 * edges of what test_cuda_emulation.cu has.
 */
#include <cstdlib>
#include <thread>

#include "src/tensor/cuda/ptx.cuh"
#include "tests/emulated_kernels.h"

static float *shared_floats() { return reinterpret_cast<float *>(pal_shared_bytes); }

/* --- correct programs ------------------------------------------------------------------------- */

/* A warp's barrier orders what all lanes read with what one of them writes. */
static __global__ void one_rewrites(float *x, bool barrier)
{
    float *shared = shared_floats();
    unsigned i = threadIdx.x;
    if (i == 0) shared[0] = 3.0f;
    __syncwarp();
    float before = shared[0];
    if (barrier) __syncwarp();
    if (i == 5) shared[0] = shared[0] + before;
    __syncwarp();
    x[i] = shared[0];
}

static void reads_behind_a_barrier_of_the_warp_are_over(void **)
{
    float *x = counting(32);
    succeed(begin(one_rewrites, 1, 32, 128, x, true));
    assert_true(read_back(x, 32)[9] == 6.0f);
    expect_fault("with no barrier between", [&] { begin(one_rewrites, 1, 32, 128, x, false); });
    succeed(cudaFree(x));
}

static __global__ void votes(float *x, unsigned mask)
{
    x[threadIdx.x] = static_cast<float>(__ballot_sync(mask, threadIdx.x != 2)) +
                     (__all_sync(mask, 1) != 0 ? 0.5f : 0.0f);
}

static __global__ void other_lane(float *x, unsigned mask, int lane)
{
    x[threadIdx.x] = __shfl_sync(mask, x[threadIdx.x], lane);
}

/* A full warp before leaves in the boxes what the lanes that are not there must not bring. */
static void a_partial_warp_has_its_lanes_only(void **)
{
    float *x = counting(64);
    succeed(begin(votes, 1, 64, 0, x, 0xffffffffu));
    succeed(begin(votes, 1, 16, 0, x, 0xffffu));
    assert_true(read_back(x, 16)[3] == 65531.5f);
    expect_fault("lane 20 of a warp of 16 lanes",
                 [&] { begin(other_lane, 1, 16, 0, x, 0xffffu, 20); });
    expect_fault("its lanes are 0xffff", [&] { begin(other_lane, 1, 16, 0, x, 0xffffffffu, 3); });
    succeed(cudaFree(x));
}

static __global__ void exchange_in_plane(float *x)
{
    unsigned i = threadIdx.x + blockDim.x * threadIdx.y;
    x[i] =
        __shfl_xor_sync(0xffffffffu, x[i], 9) + 100.0f * __shfl_up_sync(0xffffffffu, x[i], 3u, 8);
}

static void lanes_count_through_all_dimensions(void **)
{
    float *x = counting(64);
    succeed(begin(exchange_in_plane, 1, dim3(8, 8), 0, x));
    std::vector<float> found = read_back(x, 64);
    for (int i = 0; i < 64; i++)
        assert_true(found[static_cast<size_t>(i)] ==
                    static_cast<float>((i ^ 9) + 100 * (i % 8 < 3 ? i : i - 3)));
    succeed(cudaFree(x));
}

static __global__ void count_up(float *x, int times)
{
    for (int i = 0; i < times; i++) x[threadIdx.x] += 1.0f;
}

/* What a thread of the program does while another runs a kernel is not the kernel's doing. */
static void host_threads_go_on_beside_kernels(void **)
{
    static volatile bool stop;
    static std::vector<float> own(1000);
    float *x = counting(64);
    std::thread beside([] {
        while (!stop) {
            void *host, *device;
            for (float &number : own) number += 1.0f;
            cudaMallocHost(&host, 100);
            cudaMalloc(&device, 100);
            cudaFree(device);
            cudaFreeHost(host);
        }
    });
    for (int i = 0; i < 100; i++) {
        succeed(begin(count_up, 1, 64, 0, x, 20));
        succeed(cudaStreamSynchronize(stream));
    }
    stop = true;
    beside.join();
    assert_true(read_back(x, 64)[7] == 7.0f + 2000.0f);
    succeed(cudaFree(x));
}

/* --- faults ----------------------------------------------------------------------------------- */

static int host_number = 7;
static const float table[4] = {1, 2, 3, 4};

static __global__ void read_table(float *x) { x[threadIdx.x] = table[threadIdx.x]; }
static __global__ void write_number(int *number) { *number = 8; }
static __global__ void read_number(float *x, const int *number)
{
    x[0] = static_cast<float>(*number);
}

static void only_constants_are_shared_with_the_host(void **)
{
    float *x = counting(4);
    int *volatile where = &host_number;
    succeed(begin(read_table, 1, 4, 0, x));
    assert_true(read_back(x, 4)[3] == 4.0f);
    expect_fault("writes host memory", [&] { begin(write_number, 1, 1, 0, where); });
    expect_fault("reads host memory", [&] { begin(read_number, 1, 1, 0, x, where); });
    succeed(cudaFree(x));
}

static __global__ void before_the_start(float *x) { x[-1] = 1.0f; }

static __global__ void on_stack(float *x, size_t bytes)
{
    auto *local = static_cast<volatile unsigned char *>(__builtin_alloca(bytes));
    local[0] = 1;
    local[bytes - 1] = 1;
    x[0] = local[0];
}

static void memory_ends_on_both_sides(void **)
{
    float *x = counting(64);
    expect_fault("byte -4 of 256 bytes", [&] { begin(before_the_start, 1, 1, 0, x); });
    succeed(begin(on_stack, 1, 1, 0, x, size_t{200} * 1024));
    expect_fault("the stack of a thread overflows",
                 [&] { begin(on_stack, 1, 1, 0, x, size_t{280} * 1024); });
    succeed(cudaFree(x));
}

static __global__ void copy_into(float *to, const float *from)
{
    ptx::copy_async_4(to, from, true);
    ptx::copy_async_commit();
    ptx::copy_async_wait<0>();
}

static __global__ void load_from(float *x)
{
    uint32_t r[4];
    ptx::load_matrix_x4(r, x + 4 * threadIdx.x);
    x[threadIdx.x] = static_cast<float>(r[0]);
}

/* Another thread writes where a copy is under way, with barriers before and behind. */
static __global__ void write_under_copy(float *x, bool early)
{
    float *shared = shared_floats();
    if (threadIdx.x == 0) ptx::copy_async_4(shared, x, true);
    if (threadIdx.x == 0) ptx::copy_async_commit();
    __syncthreads();
    if (early && threadIdx.x == 1) shared[0] = 5.0f;
    __syncthreads();
    if (threadIdx.x == 0) ptx::copy_async_wait<0>();
    __syncthreads();
    if (!early && threadIdx.x == 1) shared[0] = 5.0f;
    __syncthreads();
    x[threadIdx.x] = shared[0];
}

static void copies_and_matrices_are_of_shared_memory(void **)
{
    float *x = counting(256);
    succeed(begin(write_under_copy, 1, 32, 16, x, false));
    assert_true(read_back(x, 32)[31] == 5.0f);
    expect_fault("which thread 0 copies to", [&] { begin(write_under_copy, 1, 32, 16, x, true); });
    expect_fault("which is not in shared memory", [&] { begin(copy_into, 1, 1, 0, x, x + 1); });
    expect_fault("which is not in shared memory", [&] { begin(load_from, 1, 32, 0, x); });
    succeed(cudaFree(x));
}

static __global__ void two_on_one_line(float *x)
{
    /* clang-format off */
    if (threadIdx.x < 16) __syncwarp(); else (void)__shfl_sync(0xffffffffu, 1.0f, 0);
    /* clang-format on */
    x[threadIdx.x] = 1.0f;
}

static void a_place_is_more_than_a_line(void **)
{
    float *x = counting(32);
    expect_fault("waits for the shuffle", [&] { begin(two_on_one_line, 1, 32, 0, x); });
    succeed(cudaFree(x));
}

/* --- the runtime ------------------------------------------------------------------------------ */

static void events_outlive_their_stream(void **)
{
    cudaStream_t other;
    cudaEvent_t event;
    succeed(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    succeed(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    succeed(cudaEventRecord(event, other));
    succeed(cudaStreamDestroy(other));
    succeed(cudaEventSynchronize(event));
    succeed(cudaStreamWaitEvent(stream, event, 0));
    succeed(cudaStreamSynchronize(stream));
    expect_fault("a destroyed stream is used", [&] { cudaEventRecord(event, other); });
    succeed(cudaEventDestroy(event));
}

static void errors_are_kept_until_they_are_asked_for(void **)
{
    void *start;
    float *x = counting(1);
    assert_int_equal(cudaMalloc(&start, size_t{1} << 40), cudaErrorMemoryAllocation);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    assert_int_equal(begin(count_up, 1, 2000, 0, x, 1), cudaErrorInvalidConfiguration);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidConfiguration);
    succeed(cudaFree(x));
}

static void copies_do_not_overlap(void **)
{
    float *x = counting(32);
    expect_fault("ranges overlap",
                 [&] { cudaMemcpyAsync(x, x + 1, 64, cudaMemcpyDeviceToDevice, stream); });
    succeed(cudaMemcpyAsync(x, x + 16, 64, cudaMemcpyDeviceToDevice, stream));
    assert_true(read_back(x, 32)[0] == 16.0f);
    succeed(cudaFree(x));
}

/* CUDA_EMULATION_LEAKS=1: this program again, and it goes away without freeing. */
static void leaks_are_told_on_request(void **)
{
    expect_fault("400 bytes of device memory are never freed", [] {
        setenv("CUDA_EMULATION_LEAKS", "1", 1);
        execl("/proc/self/exe", "leak", static_cast<char *>(nullptr));
    });
}

int main(int, char **arguments)
{
    succeed(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    if (std::string(arguments[0]) == "leak") {
        counting(100);
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(reads_behind_a_barrier_of_the_warp_are_over),
        cmocka_unit_test(a_partial_warp_has_its_lanes_only),
        cmocka_unit_test(lanes_count_through_all_dimensions),
        cmocka_unit_test(host_threads_go_on_beside_kernels),
        cmocka_unit_test(only_constants_are_shared_with_the_host),
        cmocka_unit_test(memory_ends_on_both_sides),
        cmocka_unit_test(copies_and_matrices_are_of_shared_memory),
        cmocka_unit_test(a_place_is_more_than_a_line),
        cmocka_unit_test(events_outlive_their_stream),
        cmocka_unit_test(errors_are_kept_until_they_are_asked_for),
        cmocka_unit_test(copies_do_not_overlap),
        cmocka_unit_test(leaks_are_told_on_request),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
