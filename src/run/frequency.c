/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/frequency.h"

const FrequencyBucket frequency_buckets[FREQUENCY_BUCKETS] = {
    {"> 10K", 10001},
    {"1K-10K", 1000},
    {"100-1K", 100},
    {"< 100", 0},
};

int frequency_bucket(int64_t count)
{
    int bucket = 0;
    while (count < frequency_buckets[bucket].least) bucket++;
    return bucket;
}

void frequency_sort(Frequency *frequency, const int64_t *counts, int vocabulary)
{
    for (int b = 0; b < FREQUENCY_BUCKETS; b++) frequency->types[b] = 0;
    for (int v = 0; v < vocabulary; v++) {
        int bucket = frequency_bucket(counts[v]);
        frequency->bucket_of[v] = (unsigned char)bucket;
        frequency->types[bucket]++;
    }
}
