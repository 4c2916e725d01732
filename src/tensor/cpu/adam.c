/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"

/* What Kingma & Ba 2015, algorithm 1, computes from the options alone:
 *   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
 *   w -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + rate * decay * w */
typedef struct Factors {
    Real gradient, beta1, rest1, beta2, rest2;
    Real step;     /* rate / (1 - beta1^t) */
    Real unbiased; /* 1 / sqrt(1 - beta2^t) */
    Real epsilon;
    Real decay; /* rate * decay */
} Factors;

static Factors adam_factors(AdamOptions options)
{
    double t = (double)options.update;
    return (Factors){
        .gradient = (Real)options.gradient_scale,
        .beta1 = (Real)options.beta1,
        .rest1 = (Real)(1.0 - options.beta1),
        .beta2 = (Real)options.beta2,
        .rest2 = (Real)(1.0 - options.beta2),
        .step = (Real)(options.learning_rate / (1.0 - pow(options.beta1, t))),
        .unbiased = (Real)(1.0 / sqrt(1.0 - pow(options.beta2, t))),
        .epsilon = (Real)options.epsilon,
        .decay = (Real)(options.learning_rate * options.weight_decay),
    };
}

static void adam_range(PartRange range, Real *restrict w, Real *restrict m, Real *restrict v,
                       const Real *restrict g, Factors f)
{
#pragma omp simd
    for (int64_t i = range.begin; i < range.end; i++) {
        Real gradient = f.gradient * g[i];
        Real first = f.beta1 * m[i] + f.rest1 * gradient;
        Real second = f.beta2 * v[i] + f.rest2 * gradient * gradient;
        Real root =
            (Real)(sizeof(Real) == sizeof(float) ? sqrtf((float)second) : sqrt((double)second));
        m[i] = first;
        v[i] = second;
        w[i] -= f.step * first / (root * f.unbiased + f.epsilon) + f.decay * w[i];
    }
}

void cpu_adam(Device *device, Tensor w, Tensor m, Tensor v, Tensor g, AdamOptions options)
{
    int64_t count = tensor_count(w);
    PAL_ASSERT(tensor_count(m) == count && tensor_count(v) == count && tensor_count(g) == count);
    PAL_ASSERT(options.update >= 1);
    Factors factors = adam_factors(options);
    int parts = cpu_parts(device, count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++)
        adam_range(line_range_of_part(count, part, parts), tensor_reals(w), tensor_reals(m),
                   tensor_reals(v), tensor_reals(g), factors);
}
