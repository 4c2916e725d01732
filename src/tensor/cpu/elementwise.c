/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

void cpu_fill(Device *device, Tensor x, double value)
{
    int64_t count = tensor_count(x);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) x.data[i] = (Real)value;
    }
}

void cpu_scale(Device *device, Tensor x, double factor)
{
    int64_t count = tensor_count(x);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) x.data[i] *= (Real)factor;
    }
}

void cpu_add(Device *device, Tensor y, Tensor x)
{
    int64_t count = tensor_count(y);
    PAL_ASSERT(tensor_count(x) == count);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        Real *restrict to = y.data;
        const Real *restrict from = x.data;
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) to[i] += from[i];
    }
}

/* Threads divide the blocks; the inside of one is memmove's, since its ranges may overlap. */
void cpu_copy_blocks(Device *device, Real *to, int64_t to_stride, const Real *from,
                     int64_t from_stride, int64_t blocks, int64_t length)
{
    if (blocks == 0 || length == 0) return;
    size_t bytes = checked_size(length) * sizeof(Real);
    int parts = blocks == 1 ? 1 : cpu_parts(device, blocks * length);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(blocks, part, parts);
        for (int64_t block = range.begin; block < range.end; block++)
            memmove(to + block * to_stride, from + block * from_stride, bytes);
    }
}
