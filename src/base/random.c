/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/random.h"

#include <Random123/philox.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

RandomStream random_stream(uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c != '\0'; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;

    RandomStream named = {{(uint32_t)hash, (uint32_t)(hash >> 32)}};
    return random_substream(named, seed, 0);
}

RandomStream random_substream(RandomStream stream, uint64_t a, uint64_t b)
{
    philox4x32_ctr_t counter = {{(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b,
                                 (uint32_t)(b >> 32) ^ 0x80000000u}}; /* never a number's counter */
    philox4x32_key_t key = {{stream.key[0], stream.key[1]}};
    philox4x32_ctr_t mixed = philox4x32(counter, key);
    return (RandomStream){{mixed.v[0], mixed.v[1]}};
}

void random_words(RandomStream stream, uint64_t index, uint32_t words[4])
{
    philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), 0, 0}};
    philox4x32_key_t key = {{stream.key[0], stream.key[1]}};
    philox4x32_ctr_t drawn = philox4x32(counter, key);
    for (int i = 0; i < 4; i++) words[i] = drawn.v[i];
}

static double unit_interval(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return (double)bits * 0x1p-53;
}

double random_uniform(RandomStream stream, uint64_t index)
{
    uint32_t words[4];
    random_words(stream, index, words);
    return unit_interval(words[0], words[1]);
}

double random_normal(RandomStream stream, uint64_t index)
{
    uint32_t words[4];
    random_words(stream, index, words);
    double radius = sqrt(-2.0 * log(1.0 - unit_interval(words[0], words[1])));
    return radius * cos(2.0 * pi * unit_interval(words[2], words[3]));
}

void random_permutation(RandomStream stream, int64_t count, int64_t *permutation)
{
    for (int64_t i = 0; i < count; i++) permutation[i] = i;
    for (int64_t i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)(random_uniform(stream, (uint64_t)i) * (double)(i + 1));
        int64_t swapped = permutation[i];
        permutation[i] = permutation[j];
        permutation[j] = swapped;
    }
}
