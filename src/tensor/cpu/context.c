/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/context.h"

#include <stdlib.h>

#include "src/base/log.h"

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
    free(context);
    device->context = NULL;
}

void *cpu_workspace(Device *device, size_t bytes)
{
    CpuContext *context = cpu_context(device);
    if (bytes > context->workspace_bytes) {
        free(context->workspace);
        size_t rounded = (bytes + 63) / 64 * 64;
        context->workspace = aligned_alloc(64, rounded);
        context->workspace_bytes = rounded;
        if (context->workspace == NULL) {
            log_error("out of memory: an operation needs %zu bytes of workspace; try fewer rows, "
                      "fewer threads per process or a shorter window",
                      rounded);
            abort();
        }
    }
    return context->workspace;
}
