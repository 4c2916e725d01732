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
            Real *row = tensor_reals(logits) + i * n;
            if (targets[i] >= 0) {
                tensor_reals(nats)[i] = row_nats(n, row, targets[i], gradient);
            } else {
                tensor_reals(nats)[i] = 0;
                for (int64_t j = 0; j < n && gradient; j++) row[j] = 0;
            }
        }
    }
}

/* What row i of a slice contributes; (-infinity, 0, -infinity) where the slice is empty or has
 * nothing above -infinity. */
static void scan_row(int64_t n, const Real *x, int64_t target, Real part[3])
{
    part[0] = part[2] = -(Real)INFINITY;
    part[1] = 0;
    if (n == 0) return;
    part[0] = row_max(n, x);
    part[1] = (Real)sum_of_exp(n, x, part[0] == -(Real)INFINITY ? 0 : part[0]);
    if (target >= 0 && target < n) part[2] = x[target];
}

void cpu_cross_entropy_slice(Device *device, Tensor part, Tensor logits, const int32_t *targets,
                             int64_t first_token)
{
    int64_t rows = logits.dims[0], n = logits.dims[1];
    PAL_ASSERT(tensor_count(part) == 3 * rows);
    int parts = cpu_parts(device, 4 * rows * n);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int p = 0; p < parts; p++) {
        PartRange range = range_of_part(rows, p, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            Real *to = tensor_reals(part) + 3 * i;
            if (targets[i] >= 0)
                scan_row(n, tensor_reals(logits) + i * n, targets[i] - first_token, to);
            else
                to[0] = to[1] = to[2] = 0;
        }
    }
}

/* Of one row over all slices, in the order of the slices. */
typedef struct Joined {
    double highest, sum, target; /* logit; of exp(logit - highest); the target's logit */
} Joined;

static Joined join_row(const Real *parts, int64_t slices, int64_t slice_step)
{
    Joined row = {-(double)INFINITY, 0.0, -(double)INFINITY};
    for (int64_t s = 0; s < slices; s++) {
        row.highest = fmax(row.highest, (double)parts[s * slice_step]);
        row.target = fmax(row.target, (double)parts[s * slice_step + 2]);
    }
    for (int64_t s = 0; s < slices; s++) {
        const Real *part = parts + s * slice_step;
        if (part[1] != 0) row.sum += (double)part[1] * exp((double)part[0] - row.highest);
    }
    return row;
}

static void softmax_minus_target(int64_t n, Real *x, Joined row, int64_t target)
{
    Real highest = (Real)row.highest, inverse = (Real)(1.0 / row.sum);
#pragma omp simd
    for (int64_t j = 0; j < n; j++) x[j] = vector_exp(x[j] - highest) * inverse;
    if (target >= 0 && target < n) x[target] -= 1;
}

void cpu_cross_entropy_join(Device *device, Tensor nats, Tensor logits, Tensor parts,
                            const int32_t *targets, int64_t first_token, bool gradient)
{
    int64_t rows = logits.dims[0], n = logits.dims[1], slices = parts.dims[0];
    PAL_ASSERT(tensor_count(nats) == rows && tensor_count(parts) == 3 * rows * slices);
    int threads = cpu_parts(device, 4 * rows * n);
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
    for (int t = 0; t < threads; t++) {
        PartRange range = range_of_part(rows, t, threads);
        for (int64_t i = range.begin; i < range.end; i++) {
            Real *row = tensor_reals(logits) + i * n;
            tensor_reals(nats)[i] = 0;
            if (targets[i] >= 0) {
                Joined joined = join_row(tensor_reals(parts) + 3 * i, slices, 3 * rows);
                tensor_reals(nats)[i] = (Real)(log(joined.sum) + joined.highest - joined.target);
                if (gradient) softmax_minus_target(n, row, joined, targets[i] - first_token);
            } else {
                for (int64_t j = 0; j < n && gradient; j++) row[j] = 0;
            }
        }
    }
}
