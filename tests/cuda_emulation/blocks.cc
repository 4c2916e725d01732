/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of a block as fibres on one thread of the program; blocks run one after another. A
 * fibre runs one thread of the kernel after the other and is left only where a thread waits, so
 * kernels without barriers need one.
 */
#include <sys/mman.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "emulation.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

using namespace boost::context::detail;

constexpr unsigned MOST_THREADS = 1024, WARP = 32;
constexpr size_t STACK_BYTES = 256 * 1024, GUARD_BYTES = 64 * 1024;

enum class State { NEW, RUNNING, READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

struct Thread {
    State state;
    const char *what, *file; /* what it waits for, and where */
    int line;
    bool orders_memory; /* of a warp barrier */
    unsigned exchanges;
};

struct Fibre {
    fcontext_t context;
    unsigned char *stack;
    int thread; /* -1: none */
};

Current current;
thread_local constinit bool runs_kernel = false;

static Thread threads[MOST_THREADS];
static uint32_t warp_epochs[MOST_THREADS / WARP];
static unsigned char boxes[MOST_THREADS / WARP][2][WARP][64];
static std::vector<Fibre> fibres;
static std::vector<Fibre *> idle;
static Fibre *fibre_of[MOST_THREADS]; /* that waits with the thread */
static Fibre *running;
static fcontext_t scheduler;
static std::vector<unsigned> order; /* in which threads are begun and go on */
static unsigned begun;              /* of the order */

/* --- fibres ----------------------------------------------------------------------------------- */

static void enter_thread(unsigned thread)
{
    dim3 block = blockDim;
    running->thread = static_cast<int>(thread);
    current.thread = thread;
    current.stack = running->stack;
    current.stack_end = running->stack + STACK_BYTES;
    threadIdx = {thread % block.x, thread / block.x % block.y, thread / (block.x * block.y)};
    threads[thread].state = State::RUNNING;
}

static void return_to_scheduler() { scheduler = jump_fcontext(scheduler, nullptr).fctx; }

static void run_threads(transfer_t from)
{
    scheduler = from.fctx;
    for (;;) {
        while (begun < current.threads) {
            unsigned thread = order[begun++];
            enter_thread(thread);
            current.launch->call(current.launch->kernel, current.launch->parameters);
            end_thread(thread);
            threads[thread].state = State::DONE;
            running->thread = -1;
        }
        return_to_scheduler();
    }
}

static Fibre make_fibre()
{
    void *stack = mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD_BYTES, PROT_NONE) != 0)
        fault({}, "no memory for the stack of a fibre");
    auto *bytes = static_cast<unsigned char *>(stack) + GUARD_BYTES;
    return {make_fcontext(bytes + STACK_BYTES, STACK_BYTES, run_threads), bytes, -1};
}

bool is_stack_guard(const void *address)
{
    auto *at = static_cast<const unsigned char *>(address);
    return at < current.stack && at >= current.stack - GUARD_BYTES;
}

static void resume(Fibre *fibre)
{
    running = fibre;
    if (fibre->thread >= 0) enter_thread(static_cast<unsigned>(fibre->thread));
    fibre->context = jump_fcontext(fibre->context, nullptr).fctx;
    if (fibre->thread >= 0)
        fibre_of[fibre->thread] = fibre;
    else
        idle.push_back(fibre);
}

static void wait(State state, const char *what, bool orders_memory, const char *file, int line)
{
    Thread *thread = &threads[current.thread];
    Fibre *own = running;
    *thread = {state, what, file, line, orders_memory, thread->exchanges};
    return_to_scheduler();
    running = own;
}

/* --- barriers --------------------------------------------------------------------------------- */

static unsigned lanes_of(unsigned warp) { return std::min(WARP, current.threads - warp * WARP); }

static bool same_text(const char *a, const char *b) { return a == b || strcmp(a, b) == 0; }

/* Both wait, at one place for the same thing. */
static bool wait_together(const Thread &a, const Thread &b)
{
    return a.state == b.state && a.state != State::DONE && a.line == b.line &&
           same_text(a.file, b.file) && same_text(a.what, b.what);
}

/* All threads [first, first + count) wait there, at one place. */
static bool all_wait(unsigned first, unsigned count, State state)
{
    if (threads[first].state != state) return false;
    for (unsigned t = first + 1; t < first + count; t++)
        if (!wait_together(threads[t], threads[first])) return false;
    return true;
}

static void release(unsigned first, unsigned count)
{
    for (unsigned t = first; t < first + count; t++) threads[t].state = State::READY;
}

static void release_who_can_go_on()
{
    if (all_wait(0, current.threads, State::AT_BLOCK_BARRIER)) {
        current.epoch++;
        release(0, current.threads);
        return;
    }
    for (unsigned warp = 0; warp * WARP < current.threads; warp++)
        if (all_wait(warp * WARP, lanes_of(warp), State::AT_WARP_BARRIER)) {
            if (threads[warp * WARP].orders_memory) warp_epochs[warp]++;
            release(warp * WARP, lanes_of(warp));
        }
}

[[noreturn]] static void report_divergence()
{
    unsigned a = 0;
    while (threads[a].state == State::DONE) a++;
    bool of_warp = threads[a].state == State::AT_WARP_BARRIER;
    unsigned first = of_warp ? a / WARP * WARP : 0;
    unsigned end = of_warp ? first + lanes_of(a / WARP) : current.threads, b = first;
    while (b + 1 < end && wait_together(threads[b], threads[a])) b++;
    char other[512];
    if (threads[b].state == State::DONE)
        snprintf(other, sizeof other, "has left the kernel");
    else
        snprintf(other, sizeof other, "waits for the %s at %s:%d", threads[b].what, threads[b].file,
                 threads[b].line);
    current.thread = a;
    fault({nullptr, threads[a].file, threads[a].line},
          "divergent barrier: thread %u waits for the %s, thread %u %s", a, threads[a].what, b,
          other);
}

void wait_for_block(const char *file, int line)
{
    wait(State::AT_BLOCK_BARRIER, "block", true, file, line);
}

static void check_mask(unsigned mask, const char *file, int line)
{
    unsigned lanes = lanes_of(current.thread / WARP);
    unsigned all = lanes == WARP ? 0xffffffffu : (1u << lanes) - 1;
    if (mask != all)
        fault({nullptr, file, line}, "a warp's mask is 0x%x, its lanes are 0x%x", mask, all);
}

void wait_for_warp(unsigned mask, const char *file, int line)
{
    check_mask(mask, file, line);
    wait(State::AT_WARP_BARRIER, "warp", true, file, line);
}

/* Two sets of boxes: nobody writes into one again before all have passed the other. */
const unsigned char *exchange(unsigned mask, const void *mine, int bytes, const char *what,
                              const char *file, int line)
{
    check_mask(mask, file, line);
    unsigned warp = current.thread / WARP, set = threads[current.thread].exchanges++ % 2;
    memcpy(boxes[warp][set][current.thread % WARP], mine, static_cast<size_t>(bytes));
    wait(State::AT_WARP_BARRIER, what, false, file, line);
    return boxes[warp][set][0];
}

int lane() { return static_cast<int>(current.thread % WARP); }

int lanes() { return static_cast<int>(lanes_of(current.thread / WARP)); }

void no_such_lane(int lane, const char *file, int line)
{
    fault({nullptr, file, line}, "a shuffle reads lane %d of a warp of %d lanes", lane, lanes());
}

template <typename T> static bool lies_within(const void *address, const T &object)
{
    auto at = reinterpret_cast<uintptr_t>(address), start = reinterpret_cast<uintptr_t>(&object);
    return at - start < sizeof object;
}

bool is_of_thread(const void *address)
{
    return lies_within(address, threadIdx) || lies_within(address, blockIdx) ||
           lies_within(address, blockDim) || lies_within(address, gridDim) ||
           lies_within(address, boxes);
}

/* --- a block, a grid -------------------------------------------------------------------------- */

static Fibre *idle_fibre()
{
    if (idle.empty()) {
        fibres.push_back(make_fibre());
        return &fibres.back();
    }
    Fibre *fibre = idle.back();
    idle.pop_back();
    return fibre;
}

static bool all_done()
{
    for (unsigned t = 0; t < current.threads; t++)
        if (threads[t].state != State::DONE) return false;
    return true;
}

static void run_block()
{
    begun = 0;
    current.epoch = 1;
    for (unsigned t = 0; t < current.threads; t++) threads[t] = {};
    for (uint32_t &epoch : warp_epochs) epoch = 1;
    begin_block();
    while (begun < current.threads) resume(idle_fibre());
    while (!all_done()) {
        release_who_can_go_on();
        bool moved = false;
        for (unsigned t : order)
            if (threads[t].state == State::READY) {
                resume(fibre_of[t]);
                moved = true;
            }
        if (!moved && !all_done()) report_divergence();
    }
}

/* Ascending, descending, or a permutation drawn from a seed. */
static std::vector<unsigned> ordered(unsigned count, unsigned salt)
{
    std::vector<unsigned> numbers(count);
    for (unsigned i = 0; i < count; i++) numbers[i] = i;
    const char *wish = getenv("CUDA_EMULATION_ORDER");
    std::string name = wish != nullptr ? wish : "ascending";
    bool random = name.rfind("random:", 0) == 0 && name.size() > 7 &&
                  name.find_first_not_of("0123456789", 7) == std::string::npos;
    if (name != "ascending" && name != "descending" && !random)
        fault({}, "CUDA_EMULATION_ORDER is \"%s\", expected ascending, descending or random:SEED",
              name.c_str());
    if (name == "descending") std::reverse(numbers.begin(), numbers.end());
    if (random) {
        std::mt19937 generator(static_cast<unsigned>(atoi(name.c_str() + 7)) + salt);
        std::shuffle(numbers.begin(), numbers.end(), generator);
    }
    return numbers;
}

void run_kernel(const Launch &launch)
{
    const cudaLaunchConfig_t &config = launch.config;
    static uint32_t blocks_so_far = 0, launches = 0;
    fibres.reserve(MOST_THREADS + 1); /* pointers into it stay good */
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    current.launch = &launch;
    runs_kernel = true;
    current.launch_number = ++launches;
    current.threads = blockDim.x * blockDim.y * blockDim.z;
    current.warp_epochs = warp_epochs;
    order = ordered(current.threads, launches);
    for (unsigned number : ordered(gridDim.x * gridDim.y * gridDim.z, launches)) {
        blockIdx = {number % gridDim.x, number / gridDim.x % gridDim.y,
                    number / (gridDim.x * gridDim.y)};
        current.block_number = ++blocks_so_far;
        run_block();
    }
    current.launch = nullptr;
    runs_kernel = false;
}

/* --- launches --------------------------------------------------------------------------------- */

static std::map<const void *, size_t> allowed_shared; /* where more than the usual was asked for */

static bool fits(const cudaLaunchConfig_t &config, const void *kernel, size_t parameter_bytes)
{
    dim3 grid = config.gridDim, block = config.blockDim;
    auto allowed = allowed_shared.find(kernel);
    size_t shared = allowed == allowed_shared.end() ? 48 * 1024 : allowed->second;
    bool has_threads =
        block.x > 0 && block.y > 0 && block.z > 0 && grid.x > 0 && grid.y > 0 && grid.z > 0;
    return has_threads && static_cast<uint64_t>(block.x) * block.y * block.z <= MOST_THREADS &&
           block.z <= 64 && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 &&
           config.dynamicSmemBytes <= shared && parameter_bytes <= 4096;
}

cudaError_t launch(const cudaLaunchConfig_t &config, const void *kernel, void *parameters,
                   size_t bytes, void (*call)(const void *, void *), void (*release)(void *))
{
    std::lock_guard guard(lock);
    if (!fits(config, kernel, bytes)) {
        release(parameters);
        return failing(cudaErrorInvalidConfiguration);
    }
    Launch begun_launch = {config, kernel, parameters, bytes, call};
    return enqueue(config.stream, [begun_launch, release] {
        run_kernel(begun_launch);
        release(begun_launch.parameters);
    });
}

} // namespace emulation

using namespace emulation;

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *)
{
    if (!has_code()) return failing(cudaErrorNoKernelImageForDevice);
    *attributes = {1024};
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    std::lock_guard guard(lock);
    if (value < 0 || static_cast<size_t>(value) > most_shared_bytes())
        return failing(cudaErrorInvalidValue);
    allowed_shared[kernel] = static_cast<size_t>(value);
    return cudaSuccess;
}
