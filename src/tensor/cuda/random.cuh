/* SPDX-License-Identifier: Apache-2.0
 *
 * The counter-based generator of base/random.h on the device: the same bits for the same (stream,
 * index). Philox4x32-10: Salmon et al. 2011, section 4.
 */
#ifndef PAL_TENSOR_CUDA_RANDOM_CUH
#define PAL_TENSOR_CUDA_RANDOM_CUH

#include <cmath>

#include "src/tensor/cuda/common.cuh"

struct Words4 {
    uint32_t v[4];
};

static __device__ __forceinline__ Words4 philox(RandomStream stream, Words4 counter)
{
    uint32_t key0 = stream.key[0], key1 = stream.key[1];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * counter.v[0];
        uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * counter.v[2];
        counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.v[1] ^ key0,
                    static_cast<uint32_t>(product1),
                    static_cast<uint32_t>(product0 >> 32) ^ counter.v[3] ^ key1,
                    static_cast<uint32_t>(product0)}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

static __device__ __forceinline__ uint32_t low_half(uint64_t x) { return static_cast<uint32_t>(x); }
static __device__ __forceinline__ uint32_t high_half(uint64_t x)
{
    return static_cast<uint32_t>(x >> 32);
}

/* random_words() */
static __device__ __forceinline__ Words4 random_words_device(RandomStream stream, uint64_t index)
{
    return philox(stream, {{low_half(index), high_half(index), 0, 0}});
}

/* random_substream() */
static __device__ __forceinline__ RandomStream random_substream_device(RandomStream stream,
                                                                       uint64_t a, uint64_t b)
{
    Words4 mixed =
        philox(stream, {{low_half(a), high_half(a), low_half(b), high_half(b) ^ 0x80000000u}});
    return {{mixed.v[0], mixed.v[1]}};
}

/* Of the words that are drawn those below it are dropped: a share of `rate`. */
static inline uint32_t dropout_threshold(double rate)
{
    PAL_ASSERT(rate >= 0.0 && rate < 1.0);
    double threshold = std::ceil(rate * 0x1p32);
    return threshold < 0x1p32 ? static_cast<uint32_t>(threshold) : UINT32_MAX;
}

#endif
