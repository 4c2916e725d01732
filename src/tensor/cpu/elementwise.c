/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "src/base/checked.h"
#include "src/base/status.h"
#include "src/tensor/bfloat16.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

void cpu_fill(Device *device, Tensor x, double value)
{
    int64_t count = tensor_count(x);
    Real *numbers = tensor_reals(x);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) numbers[i] = (Real)value;
    }
}

void cpu_scale(Device *device, Tensor x, double factor)
{
    int64_t count = tensor_count(x);
    Real *numbers = tensor_reals(x);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) numbers[i] *= (Real)factor;
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
        Real *restrict to = tensor_reals(y);
        const Real *restrict from = tensor_reals(x);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) to[i] += from[i];
    }
}

static void convert(Tensor to, Tensor from, PartRange range)
{
    if (from.type == NUMBER_BFLOAT16) {
        const uint16_t *halves = from.data;
        Real *reals = tensor_reals(to);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) reals[i] = float_of_bfloat16(halves[i]);
    } else {
        const Real *reals = tensor_reals(from);
        uint16_t *halves = to.data;
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) halves[i] = bfloat16_of((float)reals[i]);
    }
}

/* Between number types: here threads divide the inside of blocks too, since whole tensors are one
 * block. */
static void convert_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from,
                           int64_t from_stride, int64_t blocks, int64_t length)
{
    int parts = cpu_parts(device, blocks * length);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++)
        for (int64_t block = 0; block < blocks; block++)
            convert(tensor_part_1d(to, block * to_stride, length),
                    tensor_part_1d(from, block * from_stride, length),
                    line_range_of_part(length, part, parts));
}

/* Threads divide the blocks; the inside of one is memmove's, since its ranges may overlap. */
void cpu_copy_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from, int64_t from_stride,
                     int64_t blocks, int64_t length)
{
    if (blocks == 0 || length == 0) return;
    if (to.type != from.type) {
        convert_blocks(device, to, to_stride, from, from_stride, blocks, length);
        return;
    }
    int64_t size = (int64_t)number_size(to.type);
    char *start = to.data;
    const char *source = from.data;
    size_t bytes = checked_size(length * size);
    int parts = blocks == 1 ? 1 : cpu_parts(device, blocks * length);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(blocks, part, parts);
        for (int64_t block = range.begin; block < range.end; block++)
            memmove(start + block * to_stride * size, source + block * from_stride * size, bytes);
    }
}
