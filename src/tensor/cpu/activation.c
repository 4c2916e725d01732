/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/vector_math.h"

void cpu_relu_backward(Device *device, Tensor dy, Tensor y)
{
    int64_t count = tensor_count(dy);
    PAL_ASSERT(tensor_count(y) == count);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        Real *restrict gradient = tensor_reals(dy);
        const Real *restrict output = tensor_reals(y);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++)
            gradient[i] = output[i] <= 0 ? 0 : gradient[i];
    }
}

/* The tanh form of GELU by the logistic function, since (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)):
 *     y = x s(x),   s = 1 / (1 + exp(-2u)),   u = sqrt(2/pi) (x + 0.044715 x^3) */
static const Real two_root = (Real)1.5957691216057307118; /* 2 sqrt(2/pi) */
static const Real cubic = (Real)0.044715;

static inline Real logistic(Real x)
{
    return 1 / (1 + vector_exp(-two_root * x * (1 + cubic * x * x)));
}

/* dy/dx = s + x s (1 - s) 2 du/dx */
static inline Real gelu_slope(Real x)
{
    Real s = logistic(x);
    return s + x * s * (1 - s) * two_root * (1 + 3 * cubic * x * x);
}

void cpu_gelu_forward(Device *device, Tensor y, Tensor x)
{
    int64_t count = tensor_count(x);
    PAL_ASSERT(tensor_count(y) == count);
    int parts = cpu_parts(device, 4 * count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        Real *restrict to = tensor_reals(y);
        const Real *restrict from = tensor_reals(x);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) to[i] = from[i] * logistic(from[i]);
    }
}

void cpu_gelu_backward(Device *device, Tensor dy, Tensor x)
{
    int64_t count = tensor_count(x);
    PAL_ASSERT(tensor_count(dy) == count);
    int parts = cpu_parts(device, 4 * count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = line_range_of_part(count, part, parts);
        Real *restrict gradient = tensor_reals(dy);
        const Real *restrict input = tensor_reals(x);
#pragma omp simd
        for (int64_t i = range.begin; i < range.end; i++) gradient[i] *= gelu_slope(input[i]);
    }
}
