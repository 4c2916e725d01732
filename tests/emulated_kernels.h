/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests of the CUDA emulation: a stream, device memory with known numbers, kernels begun in one
 * line, and faults that a child process has to end with.
 */
#ifndef TESTS_EMULATED_KERNELS_H
#define TESTS_EMULATED_KERNELS_H

#include <cuda_runtime.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" {
#include <cmocka.h>
}

extern __shared__ __align__(16) unsigned char pal_shared_bytes[];

static cudaStream_t stream; /* made by the test's main */

static inline void succeed(cudaError_t error)
{
    if (error != cudaSuccess) fail_msg("%s", cudaGetErrorName(error));
}

template <typename T> static T *on_device(const std::vector<T> &host)
{
    T *start;
    succeed(cudaMalloc(&start, host.size() * sizeof(T)));
    succeed(cudaMemcpyAsync(start, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice,
                            stream)); /* pageable: read at once */
    return start;
}

/* 0, 1, 2, ... */
static inline float *counting(int count)
{
    std::vector<float> host(static_cast<size_t>(count));
    for (size_t i = 0; i < host.size(); i++) host[i] = static_cast<float>(i);
    return on_device(host);
}

template <typename T> static std::vector<T> read_back(const T *start, int count)
{
    std::vector<T> host(static_cast<size_t>(count));
    succeed(cudaMemcpyAsync(host.data(), start, host.size() * sizeof(T), cudaMemcpyDeviceToHost,
                            stream));
    return host;
}

template <typename... Parameters, typename... Arguments>
static cudaError_t begin(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, size_t shared,
                         Arguments... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = blocks;
    config.blockDim = threads;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

/* Runs `fault` in a child, which has to abort with these words on stderr. */
template <typename Fault> static void expect_fault(const char *words, Fault fault)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fault();
        cudaDeviceSynchronize();
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
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        said.find(words) == std::string::npos)
        fail_msg("expected \"%s\", status 0x%x, said: %s", words, static_cast<unsigned>(status),
                 said.c_str());
}

#endif
