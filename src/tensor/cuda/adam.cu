/* SPDX-License-Identifier: Apache-2.0 */
#include <cmath>

#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"

/* What Kingma & Ba 2015, algorithm 1, computes from the options alone:
 *   m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
 *   w -= rate * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon) + rate * decay * w */
struct AdamMap {
    float *w, *m, *v;
    const float *g;
    float gradient, beta1, rest1, beta2, rest2;
    float step;     /* rate / (1 - beta1^t) */
    float unbiased; /* 1 / sqrt(1 - beta2^t) */
    float epsilon;
    float decay; /* rate * decay */

    __device__ void update(float &weight, float &first, float &second, float g_i) const
    {
        float scaled = gradient * g_i;
        first = beta1 * first + rest1 * scaled;
        second = beta2 * second + rest2 * scaled * scaled;
        weight -= step * first / (sqrtf(second) * unbiased + epsilon) + decay * weight;
    }

    __device__ void one(int64_t i) const { update(w[i], m[i], v[i], g[i]); }

    __device__ void four(int64_t i) const
    {
        float4 weight = read4(w, i), first = read4(m, i), second = read4(v, i), given = read4(g, i);
        update(weight.x, first.x, second.x, given.x);
        update(weight.y, first.y, second.y, given.y);
        update(weight.z, first.z, second.z, given.z);
        update(weight.w, first.w, second.w, given.w);
        write4(w, i, weight);
        write4(m, i, first);
        write4(v, i, second);
    }
};

void cuda_adam(Device *device, Tensor w, Tensor m, Tensor v, Tensor g, AdamOptions options)
{
    int64_t count = tensor_count(w);
    PAL_ASSERT(tensor_count(m) == count && tensor_count(v) == count && tensor_count(g) == count);
    PAL_ASSERT(options.update >= 1);
    double t = static_cast<double>(options.update);
    AdamMap map_of = {
        .w = tensor_reals(w),
        .m = tensor_reals(m),
        .v = tensor_reals(v),
        .g = tensor_reals(g),
        .gradient = static_cast<float>(options.gradient_scale),
        .beta1 = static_cast<float>(options.beta1),
        .rest1 = static_cast<float>(1.0 - options.beta1),
        .beta2 = static_cast<float>(options.beta2),
        .rest2 = static_cast<float>(1.0 - options.beta2),
        .step = static_cast<float>(options.learning_rate / (1.0 - std::pow(options.beta1, t))),
        .unbiased = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options.beta2, t))),
        .epsilon = static_cast<float>(options.epsilon),
        .decay = static_cast<float>(options.learning_rate * options.weight_decay)};
    bool aligned = is_aligned(tensor_reals(w)) && is_aligned(tensor_reals(m)) &&
                   is_aligned(tensor_reals(v)) && is_aligned(tensor_reals(g));
    map(device, map_of, count, aligned);
}
