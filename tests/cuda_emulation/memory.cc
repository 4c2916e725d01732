/* SPDX-License-Identifier: Apache-2.0
 *
 * Device memory is one reserved range, in which allocations follow each other with gaps between
 * them; nothing is used twice, so that a freed allocation is known for what it was. The host's page
 * table keeps host code out of it.
 */
#include <execinfo.h>
#include <sanitizer/asan_interface.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "emulation.h"

namespace emulation {

constexpr size_t RANGE = size_t{1} << 38, PAGE = 4096, GAP = 16 * PAGE;

struct DeviceMemory {
    unsigned char *base;
    size_t used; /* of the range */
    size_t live; /* bytes of live allocations */
    bool open;
    std::map<const unsigned char *, Allocation> allocations;
    std::map<const unsigned char *, size_t> pinned;
};

static bool host_access_allowed() { return setting("CUDA_EMULATION_HOST_ACCESS", 0) != 0; }

static void say_who_touched(int, siginfo_t *info, void *);
static void report_leaks();

static void *reserve(size_t bytes)
{
    void *start =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) {
        perror("cuda emulation: mmap");
        abort();
    }
    return start;
}

static DeviceMemory &memory()
{
    static DeviceMemory *memory = [] {
        auto *made = new DeviceMemory{};
        made->base = static_cast<unsigned char *>(reserve(RANGE));
        made->open = host_access_allowed();
        made->used = GAP;
        if (setting("CUDA_EMULATION_LEAKS", 0) != 0) atexit(report_leaks);
        return made;
    }();
    return *memory;
}

static void report_leaks()
{
    for (auto &[start, a] : memory().allocations)
        if (a.live) fault({}, "%zu bytes of device memory are never freed", a.bytes);
}

bool is_device_address(const void *address)
{
    const DeviceMemory &m = memory();
    return static_cast<size_t>(static_cast<const unsigned char *>(address) - m.base) < RANGE;
}

Allocation *allocation_near(const void *address)
{
    auto &all = memory().allocations;
    static Allocation *last; /* most accesses are where the one before was */
    auto *at = static_cast<const unsigned char *>(address);
    if (last != nullptr && at >= last->start && at < last->start + last->bytes) return last;
    if (all.empty()) return nullptr;
    auto after = all.upper_bound(at);
    if (after == all.begin()) return &after->second;
    Allocation *before = &std::prev(after)->second;
    if (at < before->start + before->bytes) return last = before;
    bool nearer_after =
        after != all.end() && after->first - at < at - (before->start + before->bytes);
    return nearer_after ? &after->second : before;
}

bool lies_in(const void *address, size_t bytes, const Allocation *a)
{
    auto *at = static_cast<const unsigned char *>(address);
    return a != nullptr && at >= a->start && at + bytes <= a->start + a->bytes;
}

bool is_pinned(const void *address, size_t bytes)
{
    auto &pinned = memory().pinned;
    auto *at = static_cast<const unsigned char *>(address);
    auto after = pinned.upper_bound(at);
    if (after == pinned.begin()) return false;
    auto &[start, size] = *std::prev(after);
    return at + bytes <= start + size;
}

void check_operand(const void *address, size_t bytes, bool reads, bool writes, const char *what)
{
    if (bytes == 0) return;
    Allocation *a = is_device_address(address) ? allocation_near(address) : nullptr;
    auto *at = static_cast<const unsigned char *>(address);
    if (!lies_in(address, bytes, a))
        fault({}, "%s: %zu bytes at %p are not within one allocation of device memory", what, bytes,
              address);
    if (!a->live) fault({}, "%s: freed device memory", what);
    size_t first = static_cast<size_t>(at - a->start);
    if (reads && is_checked()) {
        const void *unwritten = memchr(a->written + first, 0, bytes);
        if (unwritten != nullptr)
            fault({}, "%s reads never-written device memory: byte %td of %zu", what,
                  static_cast<const uint8_t *>(unwritten) - a->written, a->bytes);
    }
    if (writes) memset(a->written + first, 1, bytes);
}

/* --- the host and device memory --------------------------------------------------------------- */

/* Again and again: test frameworks have handlers of their own. */
static void listen_for_touches()
{
    /* Where a stack overflows, nothing can be called on it. */
    constexpr size_t BYTES = 64 * 1024;
    static thread_local stack_t other = {};
    if (other.ss_sp == nullptr) {
        other.ss_sp = malloc(BYTES);
        other.ss_size = BYTES;
        sigaltstack(&other, nullptr);
    }
    struct sigaction action = {};
    action.sa_sigaction = say_who_touched;
    action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
}

void open_device_memory()
{
    DeviceMemory &m = memory();
    listen_for_touches();
    if (m.open) return;
    mprotect(m.base, m.used, PROT_READ | PROT_WRITE);
    m.open = true;
}

void close_device_memory()
{
    DeviceMemory &m = memory();
    if (!m.open || host_access_allowed()) return;
    mprotect(m.base, m.used, PROT_NONE);
    m.open = false;
}

static void say_who_touched(int, siginfo_t *info, void *)
{
    void *calls[16];
    if (runs_kernel && is_stack_guard(info->si_addr))
        fault({}, "the stack of a thread overflows: it has more than 256 KiB of local variables");
    if (!is_device_address(info->si_addr)) return; /* comes again, with the usual end */
    Allocation *a = allocation_near(info->si_addr);
    fprintf(stderr, "cuda emulation: host code touched device memory at %p", info->si_addr);
    if (a != nullptr)
        fprintf(stderr, ": byte %td of an allocation of %zu%s",
                static_cast<unsigned char *>(info->si_addr) - a->start, a->bytes,
                a->live ? "" : ", which is freed");
    fprintf(stderr, "\n");
    backtrace_symbols_fd(calls, backtrace(calls, 16), STDERR_FILENO);
    abort();
}

/* Never-written memory holds numbers that are not numbers; of a large piece, pages that nobody
 * touches, which are then not there to be protected either. */
static void spoil(unsigned char *start, size_t bytes)
{
    constexpr size_t LARGE = size_t{4} << 20;
    if (bytes < LARGE) memset(start, 0xff, bytes);
}

static Allocation *take(size_t bytes)
{
    DeviceMemory &m = memory();
    size_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    if (bytes > setting("CUDA_EMULATION_MEMORY", 4ull << 30) - m.live ||
        m.used + rounded + GAP > RANGE)
        return nullptr;
    unsigned char *start = m.base + m.used;
    m.used += rounded + GAP;
    m.live += bytes;
    mprotect(start, rounded, PROT_READ | PROT_WRITE);
    spoil(start, bytes);
    ASAN_POISON_MEMORY_REGION(start + bytes, rounded - bytes + GAP);
    if (!m.open) mprotect(start, rounded, PROT_NONE);
    size_t cells = (bytes + 1) / 2;
    Allocation a = {start, bytes, true, static_cast<uint8_t *>(calloc(bytes, 1)),
                    static_cast<Cell *>(calloc(cells, sizeof(Cell)))};
    return &(m.allocations[start] = a);
}

} // namespace emulation

using namespace emulation;

cudaError_t cudaMalloc(void **start, size_t bytes)
{
    std::lock_guard guard(lock);
    *start = nullptr;
    if (bytes == 0) return cudaSuccess;
    Allocation *a = bytes < RANGE ? take(bytes) : nullptr;
    if (a == nullptr) return failing(cudaErrorMemoryAllocation);
    *start = a->start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *start)
{
    std::lock_guard guard(lock);
    run_everything();
    if (start == nullptr) return cudaSuccess;
    Allocation *a = is_device_address(start) ? allocation_near(start) : nullptr;
    if (a == nullptr || a->start != start) fault({}, "cudaFree: %p was not allocated", start);
    if (!a->live) fault({}, "cudaFree: %p is freed already", start);
    a->live = false;
    memory().live -= a->bytes;
    free(a->written);
    free(a->cells);
    a->written = nullptr;
    a->cells = nullptr;
    ASAN_POISON_MEMORY_REGION(a->start, a->bytes);
    madvise(a->start, (a->bytes + PAGE - 1) / PAGE * PAGE, MADV_DONTNEED);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **start, size_t bytes)
{
    std::lock_guard guard(lock);
    *start = malloc(bytes > 0 ? bytes : 1);
    if (*start == nullptr) return failing(cudaErrorMemoryAllocation);
    memset(*start, 0xff, bytes);
    memory().pinned[static_cast<unsigned char *>(*start)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *start)
{
    std::lock_guard guard(lock);
    run_everything();
    if (start == nullptr) return cudaSuccess;
    if (memory().pinned.erase(static_cast<unsigned char *>(start)) == 0)
        fault({}, "cudaFreeHost: %p is not pinned memory", start);
    free(start);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    std::lock_guard guard(lock);
    *total = setting("CUDA_EMULATION_MEMORY", 4ull << 30);
    *free_bytes = *total - memory().live;
    return cudaSuccess;
}
