/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/context.h"

#include <stdlib.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"
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
    free(context->workspace);
    free(context->widened);
    free(context);
    device->context = NULL;
}

Status cpu_workspace_reserve(Device *device, size_t bytes)
{
    CpuContext *context = cpu_context(device);
    if (bytes <= context->workspace_bytes) return PAL_OK;
    free(context->workspace);
    size_t rounded = (bytes + 63) / 64 * 64;
    context->workspace = aligned_alloc(64, rounded);
    context->workspace_bytes = context->workspace == NULL ? 0 : rounded;
    device->scratch_bytes = rounded + context->widened_bytes;
    if (context->workspace == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE,
                 "out of memory: attention needs %zu bytes of scratch for %d threads; try fewer "
                 "threads per process, a smaller memory or a shorter window",
                 rounded, device->threads);
    return PAL_OK;
}

void *cpu_workspace(Device *device, size_t bytes)
{
    Status status = cpu_workspace_reserve(device, bytes);
    if (status != PAL_OK) fatal(status, "%s", status_message());
    return cpu_context(device)->workspace;
}

/* Rows of sums that threads have for themselves: two of them (layer_norm.c), on whole cache lines.
 * And copies of the three tensors that a product has at most. */
Status cpu_reserve(Device *device, OperationSizes sizes)
{
    size_t line = 2 * (checked_size(sizes.columns) + PAL_LINE_NUMBERS) * sizeof(Real);
    if (sizes.operands == NUMBER_BFLOAT16) (void)cpu_widened(device, 3 * (sizes.operand + 16));
    return cpu_workspace_reserve(device, line * (size_t)device->threads);
}

Real *cpu_widened(Device *device, int64_t numbers)
{
    CpuContext *context = cpu_context(device);
    size_t bytes = (checked_size(numbers) * sizeof(Real) + 63) / 64 * 64;
    if (bytes <= context->widened_bytes) return context->widened;
    free(context->widened);
    context->widened = aligned_alloc(64, bytes);
    if (context->widened == NULL)
        fatal(PAL_ERROR_UNAVAILABLE,
              "out of memory: an operation on bfloat16 numbers needs %zu bytes of scratch; try "
              "fewer rows, a shorter window or train.type = float32",
              bytes);
    context->widened_bytes = bytes;
    device->scratch_bytes = context->workspace_bytes + bytes;
    return context->widened;
}
