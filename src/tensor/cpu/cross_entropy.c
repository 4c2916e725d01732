/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/vector_math.h"

static Real row_max(int64_t n, const Real *x)
{
    Real highest = x[0];
#pragma omp simd reduction(max : highest)
    for (int64_t j = 0; j < n; j++) highest = x[j] > highest ? x[j] : highest;
    return highest;
}

static double sum_of_exp(int64_t n, const Real *x, Real highest)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += (double)vector_exp(x[j] - highest);
    return sum;
}

/* The same, and leaves exp(x - highest) in x: the gradient needs it. */
static double exp_in_place(int64_t n, Real *x, Real highest)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) {
        x[j] = vector_exp(x[j] - highest);
        sum += (double)x[j];
    }
    return sum;
}

/* -log softmax(x)[target] = log(sum exp(x - highest)) + highest - x[target];
 * its derivative by x is softmax(x) - onehot(target). */
static Real row_nats(int64_t n, Real *x, int32_t target, bool gradient)
{
    Real highest = row_max(n, x);
    double above_target = (double)highest - (double)x[target];
    double sum = gradient ? exp_in_place(n, x, highest) : sum_of_exp(n, x, highest);
    if (gradient) {
        Real inverse = (Real)(1.0 / sum);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) x[j] *= inverse;
        x[target] -= 1;
    }
    return (Real)(log(sum) + above_target);
}

void cpu_cross_entropy(Device *device, Tensor nats, Tensor logits, const int32_t *targets,
                       bool gradient)
{
    logits = tensor_as_matrix(logits);
    int64_t rows = logits.dims[0], n = logits.dims[1];
    PAL_ASSERT(tensor_count(nats) == rows);

    /* An exponential counts as several numbers. */
    int parts = cpu_parts(device, 4 * rows * n);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            PAL_ASSERT(targets[i] < n);
            Real *row = logits.data + i * n;
            if (targets[i] >= 0) {
                nats.data[i] = row_nats(n, row, targets[i], gradient);
            } else {
                nats.data[i] = 0;
                for (int64_t j = 0; j < n && gradient; j++) row[j] = 0;
            }
        }
    }
}
