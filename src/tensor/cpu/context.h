/* SPDX-License-Identifier: Apache-2.0
 *
 * What the CPU device keeps between operations: scratch memory and the cache of matmul.c.
 */
#ifndef PAL_TENSOR_CPU_CONTEXT_H
#define PAL_TENSOR_CPU_CONTEXT_H

#include <stddef.h>

#include "src/base/status.h"
#include "src/tensor/device.h"

/* The two buffers that one operation may need at once. */
typedef enum CpuScratch {
    CPU_WORKSPACE, /* sums and logits that threads have for themselves */
    CPU_WIDENED,   /* float32 copies of bfloat16 tensors, see cpu/mixed.c */
    CPU_SCRATCH_COUNT,
} CpuScratch;

typedef struct CpuContext {
    struct {
        void *memory; /* owned */
        size_t bytes;
    } scratch[CPU_SCRATCH_COUNT];
    void *matmul_cache; /* owned by matmul.c, which also frees it */
} CpuContext;

/* Sets device->context. Fails when out of memory. */
Status cpu_context_create(Device *device);
/* Frees the context and sets it NULL. The matmul cache must be gone by then. */
void cpu_context_destroy(Device *device);

static inline CpuContext *cpu_context(Device *device) { return device->context; }

/* DeviceOps.reserve */
Status cpu_reserve(Device *device, OperationSizes sizes);

/* Makes room for operations that will ask for so many bytes. Error: out of memory. */
Status cpu_scratch_reserve(Device *device, CpuScratch scratch, size_t bytes);

/* Scratch memory for one operation, 64-byte aligned, contents undefined. What was not reserved is
 * taken now; then the program stops when there is none. */
void *cpu_scratch(Device *device, CpuScratch scratch, size_t bytes);

#endif
