/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the emulation know of each other.
 */
#ifndef CUDA_EMULATION_EMULATION_H
#define CUDA_EMULATION_EMULATION_H

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <mutex>

namespace emulation {

/* --- report.cc -------------------------------------------------------------------------------- */

/* Where something was done: an address in the program, or a place in the source. */
struct Place {
    const void *address;
    const char *file;
    int line;
};

/* Says what is wrong, in what kernel and thread if one runs, and where; then aborts. */
[[noreturn]] void fault(Place place, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A number from the environment. */
unsigned long long setting(const char *name, unsigned long long otherwise);

/* --- memory.cc: device memory and pinned memory ----------------------------------------------- */

struct Access { /* of what kernels have done to two bytes last */
    uint32_t launch, block, epoch, warp_epoch;
    uint16_t thread, warp;
};

struct Cell {
    Access write, read;
};

struct Allocation {
    unsigned char *start;
    size_t bytes;
    bool live;
    uint8_t *written; /* by byte */
    Cell *cells;      /* by two bytes */
};

/* Whether the address is in the range that device memory is taken from. */
bool is_device_address(const void *address);
/* The live or freed allocation that the address lies in, or the nearest; may be NULL. */
Allocation *allocation_near(const void *address);
bool lies_in(const void *address, size_t bytes, const Allocation *a);
bool is_pinned(const void *address, size_t bytes);

/* An operation's bytes must lie in one allocation that lives, and have been written where they are
 * read. They count as written after `writes`. */
void check_operand(const void *address, size_t bytes, bool reads, bool writes, const char *what);

/* Host code may touch device memory between open and close only. */
void open_device_memory();
void close_device_memory();

/* Whether the address is behind the end of the fibre's stack. */
bool is_stack_guard(const void *address);

/* --- runtime.cc: streams ---------------------------------------------------------------------- */

/* Held by every call of the runtime: a program may have threads beside its main one. */
extern std::recursive_mutex lock;

/* Keeps the error for cudaGetLastError, as the runtime does, and returns it. */
cudaError_t failing(cudaError_t error);

/* All that was begun on any stream has ended after it. */
void run_everything();

/* Something for a stream to do, in order. */
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

int compute_capability(); /* 80, 90, ... */
size_t most_shared_bytes();
bool has_code(); /* for this capability */

/* --- blocks.cc: the threads of a kernel ------------------------------------------------------- */

struct Launch {
    cudaLaunchConfig_t config;
    const void *kernel;
    void *parameters;
    size_t parameter_bytes;
    void (*call)(const void *, void *);
};

void run_kernel(const Launch &launch);

/* The launch and thread that run, for the checker and for reports. */
struct Current {
    const Launch *launch; /* NULL: host code runs */
    uint32_t launch_number, block_number, epoch;
    unsigned thread, threads;
    const uint32_t *warp_epochs;
    const unsigned char *stack, *stack_end; /* of the fibre that runs */
};

extern Current current;

/* This thread of the program runs a kernel; what others do meanwhile is host code. */
extern thread_local constinit bool runs_kernel;

/* Whether the address is of what a kernel may read though it is in host memory: threadIdx and its
 * like, and what lanes exchange. */
bool is_of_thread(const void *address);

/* --- checker.cc ------------------------------------------------------------------------------- */

constexpr size_t SHARED_CAPACITY = 227 * 1024;

/* Whether the kernels were compiled with the checks, as compiler_calls.cc says at the start. */
bool is_checked();
void be_checked();

/* A load or store of the thread that runs. `aligned`: to a multiple of so many bytes. */
void access(const void *address, size_t bytes, bool write, bool aligned, Place place);

/* Shared memory is as never written. */
void begin_block();
void end_thread(unsigned thread); /* a thread has left the kernel */

} // namespace emulation

/* With room behind it, so that an index beyond the end touches nothing else. */
extern unsigned char pal_shared_bytes[emulation::SHARED_CAPACITY + 65536];

#endif
