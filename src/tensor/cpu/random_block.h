/* SPDX-License-Identifier: Apache-2.0
 *
 * random_words() (base/random.h) for many indices in a row, by vector instructions: about twice
 * as fast, the same bits.
 */
#ifndef PAL_TENSOR_CPU_RANDOM_BLOCK_H
#define PAL_TENSOR_CPU_RANDOM_BLOCK_H

#include <stdint.h>

#include "src/base/random.h"

enum { PAL_RANDOM_LANES = 32, PAL_RANDOM_BLOCK = 4 * PAL_RANDOM_LANES };

/* words[4 i + j] = word j of index first + i, for i < PAL_RANDOM_LANES. */
void cpu_random_block(RandomStream stream, uint64_t first, uint32_t words[PAL_RANDOM_BLOCK]);

/* A word keeps an element when word * 2^-32 >= rate, that is, when word >= this; rate < 1. */
uint32_t cpu_dropout_threshold(double rate);

#endif
