/* SPDX-License-Identifier: Apache-2.0
 *
 * What the CPU device keeps between operations: scratch memory and the cache of matmul.c.
 */
#ifndef PAL_TENSOR_CPU_CONTEXT_H
#define PAL_TENSOR_CPU_CONTEXT_H

#include <stddef.h>

#include "src/base/status.h"
#include "src/tensor/device.h"

typedef struct CpuContext {
    void *workspace; /* owned */
    size_t workspace_bytes;
    void *widened; /* owned; copies of bfloat16 tensors, see cpu/mixed.c */
    size_t widened_bytes;
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
Status cpu_workspace_reserve(Device *device, size_t bytes);

/* Room for float32 copies of the tensors of one operation, beside its workspace; it grows with the
 * largest so far. The program stops when there is none. */
Real *cpu_widened(Device *device, int64_t numbers);

/* Scratch memory for one operation, 64-byte aligned, contents undefined. What was not reserved is
 * taken now; then the program stops when there is none. */
void *cpu_workspace(Device *device, size_t bytes);

#endif
