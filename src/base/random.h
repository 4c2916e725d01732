/* SPDX-License-Identifier: Apache-2.0
 *
 * Counter-based random numbers (Philox4x32-10, Salmon et al. 2011, through Random123).
 *
 * A number is a pure function of (stream, index): nothing is advanced, nothing must be saved, and
 * every process grid draws the same value for the same element. A stream is made of the run's seed
 * and a name ("layers/00/attention/query", "dropout/attention"), so two purposes never share one.
 *
 *     counter = (index low, index high, 0, 0),  key = stream;  four 32-bit words per index
 */
#ifndef PAL_BASE_RANDOM_H
#define PAL_BASE_RANDOM_H

#include <stdint.h>

typedef struct RandomStream {
    uint32_t key[2];
} RandomStream;

/* The stream of one purpose: key = 64-bit FNV-1a of the name, mixed with the seed. */
RandomStream random_stream(uint64_t seed, const char *name);

/* A stream of its own for one (a, b) within `stream`, e.g. (window, layer) of a dropout mask. */
RandomStream random_substream(RandomStream stream, uint64_t a, uint64_t b);

/* Four independent uniform 32-bit words for this index. */
void random_words(RandomStream stream, uint64_t index, uint32_t words[4]);

/* Uniform in [0, 1), 53 bits. */
double random_uniform(RandomStream stream, uint64_t index);

/* Standard normal (Box-Muller in double precision). */
double random_normal(RandomStream stream, uint64_t index);

/* A permutation of 0 .. count-1 by Fisher-Yates. */
void random_permutation(RandomStream stream, int64_t count, int64_t *permutation);

#endif
