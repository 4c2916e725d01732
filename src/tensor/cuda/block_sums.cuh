/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums and maxima over the threads of a warp or block, always in the same order.
 */
#ifndef PAL_TENSOR_CUDA_BLOCK_SUMS_CUH
#define PAL_TENSOR_CUDA_BLOCK_SUMS_CUH

#include "src/tensor/cuda/common.cuh"

struct Adds {
    template <typename T> static __device__ T join(T a, T b) { return a + b; }
};

/* NaN wins, as a loss that is not a number must be seen. */
struct Largest {
    template <typename T> static __device__ T join(T a, T b) { return a > b || a != a ? a : b; }
};

/* Every lane gets the result. The whole warp must call. */
template <typename Join, typename T> static __device__ __forceinline__ T warp_join(T value)
{
    for (int step = WARP / 2; step > 0; step /= 2)
        value = Join::join(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

/* Every thread gets the result. All threads of the block must call; `scratch` has room for one T
 * per warp, and may be used again at once. Blocks are whole warps. */
template <typename Join, typename T>
static __device__ __forceinline__ T block_join(T value, T *scratch)
{
    int warps = static_cast<int>(blockDim.x) / WARP, warp = static_cast<int>(threadIdx.x) / WARP;
    value = warp_join<Join>(value);
    if (threadIdx.x % WARP == 0) scratch[warp] = value;
    __syncthreads();
    T result = scratch[0];
    for (int i = 1; i < warps; i++) result = Join::join(result, scratch[i]);
    __syncthreads();
    return result;
}

#endif
