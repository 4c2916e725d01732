/* SPDX-License-Identifier: Apache-2.0
 *
 * Under the address sanitizer the emulation tells it which memory is whose: faults that are planted
 * here are found by it, in a child process; and the same kernel without the fault gives the right
 * numbers.
 */
#include <cuda_runtime.h>
#include <setjmp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <string>

extern "C" {
#include <cmocka.h>
}

extern __shared__ __align__(16) unsigned char pal_shared_bytes[];

constexpr int THREADS = 30;
constexpr size_t BYTES = THREADS * sizeof(float);

static cudaStream_t stream;

/* Thread t writes number t + beyond, of shared memory, its own array, or device memory. */
static __global__ void write_number(float *x, int shared_beyond, int local_beyond, int beyond)
{
    int t = static_cast<int>(threadIdx.x);
    float *shared = reinterpret_cast<float *>(pal_shared_bytes);
    float own[THREADS] = {};
    float *volatile there = own; /* which the compiler cannot see through */
    shared[t + shared_beyond] = 1.0f;
    there[t + local_beyond] = 2.0f;
    __syncthreads();
    x[t + beyond] = shared[t + shared_beyond] + own[t];
}

static float write_and_read(float *x, int shared_beyond, int local_beyond, int beyond)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(1);
    config.blockDim = dim3(THREADS);
    config.dynamicSmemBytes = BYTES;
    config.stream = stream;
    float last = 0.0f;
    assert_int_equal(
        cudaLaunchKernelEx(&config, write_number, x, shared_beyond, local_beyond, beyond),
        cudaSuccess);
    cudaMemcpyAsync(&last, x + THREADS - 1, sizeof last, cudaMemcpyDeviceToHost, stream);
    cudaStreamSynchronize(stream);
    return last;
}

template <typename Fault> static void expect_fault(const char *words, Fault fault)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        fault();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char piece[512];
    for (ssize_t got; (got = read(ends[0], piece, sizeof piece)) > 0;)
        said.append(piece, static_cast<size_t>(got));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0 || said.find(words) == std::string::npos)
        fail_msg("expected \"%s\", status 0x%x, said: %s", words, static_cast<unsigned>(status),
                 said.c_str());
}

static void a_kernel_stays_within_its_memory(void **)
{
    float *x;
    assert_int_equal(cudaMalloc(&x, BYTES), cudaSuccess);
    assert_true(write_and_read(x, 0, 0, 0) == 3.0f);
    expect_fault("use-after-poison", [&] { write_and_read(x, 1, 0, 0); });
    expect_fault("stack-buffer-overflow", [&] { write_and_read(x, 0, 1, 0); });
    expect_fault("use-after-poison", [&] { write_and_read(x, 0, 0, 1); });
    assert_int_equal(cudaFree(x), cudaSuccess);
    expect_fault("use-after-poison", [&] { write_and_read(x, 0, 0, 0); });
}

int main()
{
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_stays_within_its_memory),
    };
    int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    cudaStreamDestroy(stream);
    return failed;
}
