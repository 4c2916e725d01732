/* SPDX-License-Identifier: Apache-2.0
 *
 * Every load and store of a kernel comes here (compiler_calls.cc). For every two bytes of shared
 * and device memory it is kept which thread wrote and read them last, and behind which barrier.
 */
#include <elf.h>
#include <link.h>
#include <sanitizer/asan_interface.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "emulation.h"
#include "src/tensor/cuda/ptx.cuh"

alignas(128) unsigned char pal_shared_bytes[emulation::SHARED_CAPACITY + 65536];

namespace emulation {

constexpr uint16_t MANY = 0xffff;
constexpr uint32_t MANY_BLOCKS = 0xffffffffu;
constexpr uint32_t UNDER_WAY = 0xfffffffeu; /* instead of a block: an asynchronous copy writes */
constexpr unsigned WARP = 32;

/* Sources that are compiled without the checks are run as they are: what they write is not known. */
static bool checks_are_compiled_in;

bool is_checked() { return checks_are_compiled_in; }

void be_checked() { checks_are_compiled_in = true; }

static Cell shared_cells[sizeof pal_shared_bytes / 2];

void begin_block()
{
    size_t bytes = current.launch->config.dynamicSmemBytes;
    ASAN_UNPOISON_MEMORY_REGION(pal_shared_bytes, bytes);
    ASAN_POISON_MEMORY_REGION(pal_shared_bytes + bytes, sizeof pal_shared_bytes - bytes);
    memset(pal_shared_bytes, 0xff, bytes);
}

/* --- who touched it --------------------------------------------------------------------------- */

static Access mine()
{
    unsigned warp = current.thread / WARP;
    return {current.launch_number,
            current.block_number,
            current.epoch,
            current.warp_epochs[warp],
            static_cast<uint16_t>(current.thread),
            static_cast<uint16_t>(warp)};
}

/* Nothing orders the earlier access and one of this thread now. */
static bool unordered(const Access &earlier, const Access &now)
{
    if (earlier.launch != now.launch) return false;
    if (earlier.block != now.block) return true;
    if (earlier.epoch != now.epoch || earlier.thread == now.thread) return false;
    return earlier.warp != now.warp || earlier.warp_epoch == now.warp_epoch;
}

static void note_read(Access &read, const Access &now)
{
    bool same_time =
        read.launch == now.launch && read.block == now.block && read.epoch == now.epoch;
    if (read.launch == now.launch && read.block != now.block) {
        read.block = MANY_BLOCKS;
        return;
    }
    /* Behind a barrier of its warp alone, this read stands for the warp's earlier ones: what comes
     * after it comes after them. */
    if (read.warp == now.warp && read.warp_epoch != now.warp_epoch) same_time = false;
    Access noted = now;
    if (same_time && read.thread != now.thread) noted.thread = MANY;
    if (same_time && read.warp != now.warp) noted.warp = MANY;
    read = noted;
}

[[noreturn]] static void report_race(const Access &other, bool other_wrote, bool write,
                                     const char *memory, size_t offset, Place place)
{
    char who[64];
    if (other.block == MANY_BLOCKS || other.block != current.block_number)
        snprintf(who, sizeof who, "another block");
    else if (other.thread == MANY)
        snprintf(who, sizeof who, "other threads");
    else
        snprintf(who, sizeof who, "thread %u", other.thread);
    fault(place, "race: %s byte %zu of %s, which %s %s with no barrier between",
          write ? "writes" : "reads", offset, memory, who, other_wrote ? "wrote" : "read");
}

static void check_order(Cell &cell, bool write, bool shared, const char *memory, size_t offset,
                        Place place)
{
    Access now = mine();
    /* What earlier blocks had in shared memory is not there any more. */
    bool wrote_here = !shared || cell.write.block == now.block;
    bool read_here = !shared || cell.read.block == now.block;
    if (wrote_here && unordered(cell.write, now))
        report_race(cell.write, true, write, memory, offset, place);
    if (write) {
        if (read_here && unordered(cell.read, now))
            report_race(cell.read, false, write, memory, offset, place);
        cell.write = now;
    } else if (read_here) {
        note_read(cell.read, now);
    } else {
        cell.read = now;
    }
}

/* --- one access ------------------------------------------------------------------------------- */

static void access_shared(size_t offset, size_t bytes, bool write, Place place)
{
    size_t size = current.launch->config.dynamicSmemBytes;
    if (offset + bytes > size)
        fault(place, "out of range: %s %zu bytes at %zu of %zu bytes of shared memory",
              write ? "writes" : "reads", bytes, offset, size);
    for (size_t cell = offset / 2; cell <= (offset + bytes - 1) / 2; cell++) {
        const Access &last = shared_cells[cell].write;
        if (last.block == UNDER_WAY && write)
            fault(place, "race: writes byte %zu of shared memory, which thread %u copies to",
                  2 * cell, last.thread);
        if (last.block == UNDER_WAY)
            fault(place,
                  "reads never-written shared memory: byte %zu of %zu, which thread %u copies to, "
                  "without having waited",
                  2 * cell, size, last.thread);
        if (!write && shared_cells[cell].write.block != current.block_number)
            fault(place, "reads never-written shared memory: byte %zu of %zu", 2 * cell, size);
        check_order(shared_cells[cell], write, true, "shared memory", 2 * cell, place);
    }
}

static void access_device(const unsigned char *at, size_t bytes, bool write, Place place)
{
    Allocation *a = allocation_near(at);
    if (!lies_in(at, bytes, a))
        fault(place, "out of range: %s %zu bytes at byte %td of %zu bytes of device memory",
              write ? "writes" : "reads", bytes, a == nullptr ? 0 : at - a->start,
              a == nullptr ? 0 : a->bytes);
    if (!a->live) fault(place, "%s freed device memory", write ? "writes" : "reads");
    size_t offset = static_cast<size_t>(at - a->start);
    for (size_t i = offset; i < offset + bytes && !write; i++)
        if (!a->written[i])
            fault(place, "reads never-written device memory: byte %zu of %zu", i, a->bytes);
    if (write) memset(a->written + offset, 1, bytes);
    for (size_t cell = offset / 2; cell <= (offset + bytes - 1) / 2; cell++)
        check_order(a->cells[cell], write, false, "device memory", 2 * cell, place);
}

/* Constants and tables lie in the parts of the program and its libraries that nobody writes. */
static bool is_constant(const void *address)
{
    static const std::vector<std::pair<uintptr_t, uintptr_t>> ranges = [] {
        std::vector<std::pair<uintptr_t, uintptr_t>> found;
        dl_iterate_phdr(
            [](dl_phdr_info *info, size_t, void *into) {
                for (int i = 0; i < info->dlpi_phnum; i++) {
                    const ElfW(Phdr) &part = info->dlpi_phdr[i];
                    bool constant = part.p_type == PT_LOAD && (part.p_flags & PF_W) == 0;
                    if (!constant && part.p_type != PT_GNU_RELRO) continue;
                    uintptr_t start = info->dlpi_addr + part.p_vaddr;
                    static_cast<decltype(found) *>(into)->emplace_back(start, start + part.p_memsz);
                }
                return 0;
            },
            &found);
        return found;
    }();
    auto at = reinterpret_cast<uintptr_t>(address);
    for (auto &[start, end] : ranges)
        if (at >= start && at < end) return true;
    return false;
}

static bool is_own(const unsigned char *at)
{
    auto *parameters = static_cast<const unsigned char *>(current.launch->parameters);
    return (at >= current.stack && at < current.stack_end) ||
           (at >= parameters && at < parameters + current.launch->parameter_bytes);
}

void access(const void *address, size_t bytes, bool write, bool aligned, Place place)
{
    if (!runs_kernel || bytes == 0 || !checks_are_compiled_in) return;
    auto *at = static_cast<const unsigned char *>(address);
    if (is_own(at)) return;
    auto offset = static_cast<size_t>(at - pal_shared_bytes);
    bool in_shared = at >= pal_shared_bytes && offset < sizeof pal_shared_bytes;
    bool on_device = !in_shared && is_device_address(at);
    if (!in_shared && !on_device) {
        if (!write && (is_of_thread(address) || is_constant(address))) return;
        fault(place, "a kernel %s host memory at %p", write ? "writes" : "reads", address);
    }
    if (aligned && reinterpret_cast<uintptr_t>(address) % bytes != 0)
        fault(place, "unaligned: %s %zu bytes at an address that is not a multiple of that",
              write ? "writes" : "reads", bytes);
    if (in_shared)
        access_shared(offset, bytes, write, place);
    else
        access_device(at, bytes, write, place);
}

static void check_shared(const void *address, const char *what, Place place)
{
    auto *at = static_cast<const unsigned char *>(address);
    if (at < pal_shared_bytes || at >= pal_shared_bytes + sizeof pal_shared_bytes)
        fault(place, "%s is given %p, which is not in shared memory", what, address);
}

void check_shared_read(const void *address, int bytes, const char *file, int line)
{
    check_shared(address, "ldmatrix", {nullptr, file, line});
    access(address, static_cast<size_t>(bytes), false, true, {nullptr, file, line});
}

/* --- asynchronous copies ---------------------------------------------------------------------- */

struct Copy {
    unsigned char *to;
    unsigned char bytes[16];
    size_t count;
    Place place;
};

struct Copies {
    std::vector<Copy> begun;               /* since the last commit */
    std::vector<std::vector<Copy>> groups; /* under way, oldest first */
};

static Copies copies[1024];

/* Of bytes that a copy of this thread is for; block 0 has never been. */
static void set_writer(size_t offset, size_t bytes, uint32_t block)
{
    for (size_t cell = offset / 2; cell < (offset + bytes) / 2; cell++) {
        shared_cells[cell].write.block = block;
        shared_cells[cell].write.thread = static_cast<uint16_t>(current.thread);
    }
}

void copy_async(void *shared, const void *global, int bytes, bool there, const char *file, int line)
{
    Place place = {nullptr, file, line};
    check_shared(shared, "an asynchronous copy", place);
    Copy copy = {static_cast<unsigned char *>(shared), {}, static_cast<size_t>(bytes), place};
    access(shared, copy.count, true, true, place);
    if (there) {
        if (!is_device_address(global))
            fault(place, "an asynchronous copy reads %p, which is not device memory", global);
        access(global, copy.count, false, true, place);
        memcpy(copy.bytes, global, copy.count);
    }
    auto offset = static_cast<size_t>(copy.to - pal_shared_bytes);
    set_writer(offset, copy.count, UNDER_WAY);
    copies[current.thread].begun.push_back(copy);
}

void copy_async_commit()
{
    Copies &own = copies[current.thread];
    own.groups.push_back(std::move(own.begun));
    own.begun.clear();
}

void copy_async_wait(int pending)
{
    Copies &own = copies[current.thread];
    while (own.groups.size() > static_cast<size_t>(pending)) {
        for (const Copy &copy : own.groups.front()) {
            auto offset = static_cast<size_t>(copy.to - pal_shared_bytes);
            set_writer(offset, copy.count, 0);
            if (checks_are_compiled_in) access_shared(offset, copy.count, true, copy.place);
            memcpy(copy.to, copy.bytes, copy.count);
        }
        own.groups.erase(own.groups.begin());
    }
}

void end_thread(unsigned thread)
{
    Copies &own = copies[thread];
    for (const std::vector<Copy> &group : own.groups)
        if (!group.empty()) fault(group.front().place, "an asynchronous copy is not waited for");
    if (!own.begun.empty()) fault(own.begun.front().place, "an asynchronous copy is in no group");
    own.groups.clear();
}

} // namespace emulation
