/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/device.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/context.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/mixed.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/product.h"

/* Zeroing by the threads that will work on the memory spreads its pages over the memory banks of a
 * node, and finds out here, not in the first step, if there are too few. */
static void zero(Device *device, char *start, size_t bytes)
{
    int64_t pages = (int64_t)(bytes / 4096 + 1);
    int parts = cpu_parts(device, (int64_t)(bytes / sizeof(Real)));
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(pages, part, parts);
        size_t begin = (size_t)range.begin * 4096, end = (size_t)range.end * 4096;
        memset(start + begin, 0, (end < bytes ? end : bytes) - begin);
    }
}

static void *cpu_allocate(Device *device, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 64) return NULL;
    size_t rounded = (bytes + 63) / 64 * 64; /* aligned_alloc wants a multiple */
    void *start = aligned_alloc(64, rounded > 0 ? rounded : 64);
    if (start != NULL) zero(device, start, rounded);
    return start;
}

static void cpu_release(Device *device, void *start)
{
    (void)device;
    free(start);
}

/* Pages come as they are first written: a rank may never use all of it. */
static void *cpu_allocate_host(Device *device, size_t bytes)
{
    (void)device;
    return calloc(1, bytes > 0 ? bytes : 1);
}

/* Every operation has ended when its call returns, and so have these. */
static void cpu_upload_begin(Device *device, Tensor to, const Real *from)
{
    PAL_ASSERT(to.type == NUMBER_FLOAT32);
    cpu_upload(device, to, from);
}

static void cpu_download_begin(Device *device, Real *to, Tensor from)
{
    PAL_ASSERT(from.type == NUMBER_FLOAT32);
    cpu_download(device, to, from);
}

static int64_t cpu_mark(Device *device)
{
    (void)device;
    return 0;
}

static void cpu_wait(Device *device, int64_t mark)
{
    (void)device;
    (void)mark;
}

static void cpu_synchronize(Device *device) { (void)device; }

/* Profilers see its functions. */
static void cpu_enter_phase(Device *device, const char *name)
{
    (void)device;
    (void)name;
}

static void cpu_destroy(Device *device)
{
    cpu_product_cache_destroy(&cpu_context(device)->matmul_cache);
    cpu_context_destroy(device);
    free(device);
}

static const DeviceOps cpu_ops = {
    .name = "cpu",
    .destroy = cpu_destroy,
    .allocate = cpu_allocate,
    .release = cpu_release,
    .allocate_host = cpu_allocate_host,
    .release_host = cpu_release,
    .upload = cpu_upload,
    .download = cpu_download,
    .reserve = cpu_reserve,
    .upload_begin = cpu_upload_begin,
    .download_begin = cpu_download_begin,
    .mark = cpu_mark,
    .wait = cpu_wait,
    .synchronize = cpu_synchronize,
    .enter_phase = cpu_enter_phase,
    .matmul = mixed_matmul,
    .reserve_attention = mixed_reserve_attention,
    .attention_forward = mixed_attention_forward,
    .attention_backward = mixed_attention_backward,
    .attention_usage = mixed_attention_usage,
    .layer_norm_forward = mixed_layer_norm_forward,
    .layer_norm_backward = cpu_layer_norm_backward,
    .embedding_forward = cpu_embedding_forward,
    .embedding_backward = cpu_embedding_backward,
    .cross_entropy = cpu_cross_entropy,
    .cross_entropy_slice = cpu_cross_entropy_slice,
    .cross_entropy_join = cpu_cross_entropy_join,
    .relu_backward = mixed_relu_backward,
    .gelu_forward = mixed_gelu_forward,
    .gelu_backward = mixed_gelu_backward,
    .dropout = mixed_dropout,
    .fill = mixed_fill,
    .scale = mixed_scale,
    .add = mixed_add,
    .copy_blocks = cpu_copy_blocks,
    .add_column_sums = mixed_add_column_sums,
    .pool_mean = mixed_pool_mean,
    .pool_max = mixed_pool_max,
    .pair_with_earlier = mixed_pair_with_earlier,
    .pair_with_earlier_backward = mixed_pair_with_earlier_backward,
    .select_rows = mixed_select_rows,
    .squared_error = mixed_squared_error,
    .sum = mixed_sum,
    .sum_of_squares = cpu_sum_of_squares,
    .adam = cpu_adam,
};

Status device_create_cpu(Device **device_result, int threads)
{
    *device_result = NULL;
    if (threads < 1) PAL_FAIL(PAL_ERROR_CONFIG, "threads is %d, expected 1 or more", threads);

    Device *device = calloc(1, sizeof *device);
    if (device == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "out of memory for the cpu device");
    device->op = &cpu_ops;
    device->shares_memory = device->mpi_reaches_it = true;
    device->threads = threads;

    Status status = cpu_context_create(device);
    if (status != PAL_OK) {
        free(device);
        return status;
    }
    *device_result = device;
    return PAL_OK;
}
