/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cuda/cuda_ops.cuh"
#include "src/tensor/cuda/map.cuh"

struct ReluGradient {
    __device__ float operator()(float dy, float y) const { return y <= 0 ? 0.0f : dy; }
};

/* The tanh form of GELU by the logistic function, since (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)):
 *     y = x s(x),   s = 1 / (1 + exp(-2u)),   u = sqrt(2/pi) (x + 0.044715 x^3) */
constexpr float TWO_ROOT = 1.5957691216057307118f; /* 2 sqrt(2/pi) */
constexpr float CUBIC = 0.044715f;

static __device__ __forceinline__ float logistic(float x)
{
    return 1.0f / (1.0f + expf(-TWO_ROOT * x * (1.0f + CUBIC * x * x)));
}

struct Gelu {
    __device__ float operator()(float x) const { return x * logistic(x); }
};

/* dy/dx = s + x s (1 - s) 2 du/dx */
struct GeluGradient {
    __device__ float operator()(float dy, float x) const
    {
        float s = logistic(x);
        return dy * (s + x * s * (1.0f - s) * TWO_ROOT * (1.0f + 3.0f * CUBIC * x * x));
    }
};

void cuda_relu_backward(Device *device, Tensor dy, Tensor y)
{
    map_binary(device, dy, y, ReluGradient{});
}

void cuda_gelu_forward(Device *device, Tensor y, Tensor x) { map_unary(device, y, x, Gelu{}); }

void cuda_gelu_backward(Device *device, Tensor dy, Tensor x)
{
    map_binary(device, dy, x, GeluGradient{});
}
