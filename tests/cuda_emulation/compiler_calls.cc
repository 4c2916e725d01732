/* SPDX-License-Identifier: Apache-2.0
 *
 * What the compiler calls at every load and store of a kernel, and where an address or an index is
 * wrong: it is asked for the thread, alignment and bounds sanitizers, and these functions stand in
 * for theirs.
 */
#include <cstddef>
#include <cstdint>

#include "emulation.h"

#define CUDA_EMULATION_PLACE                    \
    {                                           \
        __builtin_return_address(0), nullptr, 0 \
    }
#define CUDA_EMULATION_ACCESS(name, bytes, write, aligned)                       \
    void __tsan_##name(void *address);                                           \
    void __tsan_##name(void *address)                                            \
    {                                                                            \
        emulation::access(address, bytes, write, aligned, CUDA_EMULATION_PLACE); \
    }
#define CUDA_EMULATION_ACCESSES(bytes)                                \
    CUDA_EMULATION_ACCESS(read##bytes, bytes, false, true)            \
    CUDA_EMULATION_ACCESS(write##bytes, bytes, true, true)            \
    CUDA_EMULATION_ACCESS(unaligned_read##bytes, bytes, false, false) \
    CUDA_EMULATION_ACCESS(unaligned_write##bytes, bytes, true, false) \
    CUDA_EMULATION_ACCESS(volatile_read##bytes, bytes, false, true)   \
    CUDA_EMULATION_ACCESS(volatile_write##bytes, bytes, true, true)

extern "C" {
CUDA_EMULATION_ACCESSES(1)
CUDA_EMULATION_ACCESSES(2)
CUDA_EMULATION_ACCESSES(4)
CUDA_EMULATION_ACCESSES(8)
CUDA_EMULATION_ACCESSES(16)

void __tsan_read_range(void *address, size_t bytes);
void __tsan_read_range(void *address, size_t bytes)
{
    emulation::access(address, bytes, false, false, CUDA_EMULATION_PLACE);
}
void __tsan_write_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes)
{
    emulation::access(address, bytes, true, false, CUDA_EMULATION_PLACE);
}

void __tsan_init();
void __tsan_init() { emulation::be_checked(); }
void __tsan_func_entry(void *);
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void *);
void __tsan_func_exit(void *) {}
void __tsan_vptr_update(void **, void *);
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **);
void __tsan_vptr_read(void **) {}
struct SourcePlace {
    const char *file;
    uint32_t line, column;
};

/* -fsanitize=alignment: a vector's address, seen before the compiler takes the vector apart. */
void __ubsan_handle_type_mismatch_v1_abort(const SourcePlace *place, uintptr_t);
void __ubsan_handle_type_mismatch_v1_abort(const SourcePlace *place, uintptr_t)
{
    emulation::fault({nullptr, place->file, static_cast<int>(place->line)},
                     "unaligned: an address is not a multiple of the size of what is there");
}

/* -fsanitize=bounds: an index of an array whose size the compiler knows. */
struct ArrayAndIndex {
    SourcePlace place;
    const struct {
        uint16_t kind, information;
        char name[1]; /* and on */
    } * array, *index;
};
void __ubsan_handle_out_of_bounds_abort(const ArrayAndIndex *what, uintptr_t);
void __ubsan_handle_out_of_bounds_abort(const ArrayAndIndex *what, uintptr_t index)
{
    emulation::fault({nullptr, what->place.file, static_cast<int>(what->place.line)},
                     "out of range: index %td of a local array or a table, %s",
                     static_cast<ptrdiff_t>(index), what->array->name);
}

/* Of host code: flags that guard local statics, counts of references. Kernels use none. */
#define CUDA_EMULATION_ATOMICS(bits, T)                              \
    T __tsan_atomic##bits##_load(const volatile T *at, int);         \
    T __tsan_atomic##bits##_load(const volatile T *at, int)          \
    {                                                                \
        return __atomic_load_n(at, __ATOMIC_SEQ_CST);                \
    }                                                                \
    void __tsan_atomic##bits##_store(volatile T *at, T value, int);  \
    void __tsan_atomic##bits##_store(volatile T *at, T value, int)   \
    {                                                                \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST);               \
    }                                                                \
    T __tsan_atomic##bits##_fetch_add(volatile T *at, T value, int); \
    T __tsan_atomic##bits##_fetch_add(volatile T *at, T value, int)  \
    {                                                                \
        return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);      \
    }                                                                \
    T __tsan_atomic##bits##_fetch_sub(volatile T *at, T value, int); \
    T __tsan_atomic##bits##_fetch_sub(volatile T *at, T value, int)  \
    {                                                                \
        return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);      \
    }
CUDA_EMULATION_ATOMICS(8, char)
CUDA_EMULATION_ATOMICS(32, int)
CUDA_EMULATION_ATOMICS(64, long)
}
