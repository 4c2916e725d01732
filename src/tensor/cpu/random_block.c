/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/cpu/random_block.h"

#include <math.h>

#include "src/base/status.h"

/* Philox4x32-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 4. The
 * multipliers and the increments of the key are theirs. One pass of the outer loop is one index, so
 * that the compiler puts neighbouring indices into the lanes of a vector. */
void cpu_random_block(RandomStream stream, uint64_t first, uint32_t words[PAL_RANDOM_BLOCK])
{
    uint32_t drawn[4][PAL_RANDOM_LANES];
#pragma omp simd
    for (int i = 0; i < PAL_RANDOM_LANES; i++) {
        uint64_t index = first + (uint64_t)i;
        uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = 0, c3 = 0;
        uint32_t key0 = stream.key[0], key1 = stream.key[1];
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t product0 = (uint64_t)0xD2511F53u * c0;
            uint64_t product1 = (uint64_t)0xCD9E8D57u * c2;
            c0 = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
            c1 = (uint32_t)product1;
            c2 = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
            c3 = (uint32_t)product0;
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        drawn[0][i] = c0;
        drawn[1][i] = c1;
        drawn[2][i] = c2;
        drawn[3][i] = c3;
    }
    for (int i = 0; i < PAL_RANDOM_LANES; i++)
        for (int j = 0; j < 4; j++) words[4 * i + j] = drawn[j][i];
}

uint32_t cpu_dropout_threshold(double rate)
{
    PAL_ASSERT(rate >= 0.0 && rate < 1.0);
    double threshold = ceil(rate * 0x1p32);
    return threshold < 0x1p32 ? (uint32_t)threshold : UINT32_MAX;
}
