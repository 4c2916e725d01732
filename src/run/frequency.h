/* SPDX-License-Identifier: Apache-2.0
 *
 * Loss by how often the target occurs in the training split (Rae et al. 2019, table 7). All
 * functions are local.
 */
#ifndef PAL_RUN_FREQUENCY_H
#define PAL_RUN_FREQUENCY_H

#include <stdint.h>

enum { FREQUENCY_BUCKETS = 4 };

typedef struct FrequencyBucket {
    const char *name;
    int64_t least; /* occurrences in training; the bucket before has those above */
} FrequencyBucket;

/* The most frequent first; the last one is from 0 on. */
extern const FrequencyBucket frequency_buckets[FREQUENCY_BUCKETS];

typedef struct Frequency {
    unsigned char *bucket_of;         /* (V) NULL: the data file does not say */
    int64_t types[FREQUENCY_BUCKETS]; /* tokens of the vocabulary */
    double tokens[FREQUENCY_BUCKETS], nats[FREQUENCY_BUCKETS]; /* targets and their loss */
} Frequency;

int frequency_bucket(int64_t count);

/* bucket_of (V) is there; counts may be overwritten afterwards. */
void frequency_sort(Frequency *frequency, const int64_t *counts /* (V) */, int vocabulary);

static inline void frequency_add(Frequency *frequency, int32_t target, double nats)
{
    int bucket = frequency->bucket_of[target];
    frequency->tokens[bucket] += 1.0;
    frequency->nats[bucket] += nats;
}

#endif
