/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/context.h"

#include <stdlib.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/tensor/cpu/mixed.h"
#include "src/tensor/cpu/parts.h"

Status cpu_context_create(Device *device)
{
    device->context = calloc(1, sizeof(CpuContext));
    if (device->context == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "out of memory for a device");
    return PAL_OK;
}

void cpu_context_destroy(Device *device)
{
    CpuContext *context = cpu_context(device);
    if (context == NULL) return;
    PAL_ASSERT(context->matmul_cache == NULL);
    for (int i = 0; i < CPU_SCRATCH_COUNT; i++) free(context->scratch[i].memory);
    free(context);
    device->context = NULL;
}

static const struct {
    const char *purpose, *remedy;
} scratches[CPU_SCRATCH_COUNT] = {
    [CPU_WORKSPACE] = {"attention and sums of columns",
                       "fewer threads per process, a smaller memory or a shorter window"},
    [CPU_WIDENED] = {"operations on bfloat16 numbers",
                     "fewer rows, a shorter window or train.type = float32"},
};

Status cpu_scratch_reserve(Device *device, CpuScratch scratch, size_t bytes)
{
    CpuContext *context = cpu_context(device);
    size_t held = context->scratch[scratch].bytes, wanted = (bytes + 63) / 64 * 64;
    if (wanted <= held) return PAL_OK;
    free(context->scratch[scratch].memory);
    void *memory = aligned_alloc(64, wanted);
    context->scratch[scratch].memory = memory;
    context->scratch[scratch].bytes = wanted; /* there or not, they are asked for once */
    device->scratch_bytes += wanted - held;
    if (memory == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "out of memory: %s need %zu bytes of scratch on %d threads; try %s",
                 scratches[scratch].purpose, wanted, device->threads, scratches[scratch].remedy);
    return PAL_OK;
}

void *cpu_scratch(Device *device, CpuScratch scratch, size_t bytes)
{
    Status status = cpu_scratch_reserve(device, scratch, bytes);
    if (status != PAL_OK) fatal(status, "%s", status_message());
    return cpu_context(device)->scratch[scratch].memory;
}

/* Rows of sums that threads have for themselves: two of them (layer_norm.c), on whole cache lines. */
Status cpu_reserve(Device *device, OperationSizes sizes)
{
    size_t line = 2 * (checked_size(sizes.columns) + PAL_LINE_NUMBERS) * sizeof(Real);
    PAL_TRY(mixed_reserve(device, sizes));
    return cpu_scratch_reserve(device, CPU_WORKSPACE, line * (size_t)device->threads);
}
