/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/attention_buckets.h"

#include <math.h>

Range attention_bucket_slots(int64_t slots, int bucket)
{
    return partition_range(slots, SEGMENT_BUCKETS, bucket);
}

void attention_buckets_add(double *buckets, const Real *weights, int64_t slots)
{
    for (int b = 0; b < SEGMENT_BUCKETS; b++) {
        Range range = attention_bucket_slots(slots, b);
        for (int64_t s = 0; s < range.count; s++) buckets[b] += (double)weights[range.first + s];
    }
}

void attention_sums_add(AttentionSums *sums, const double *values, double queries)
{
    sums->samples += 1.0;
    sums->queries += queries;
    for (int i = 0; i < ATTENTION_BUCKETS; i++) {
        sums->values[i] += queries * values[i];
        sums->squares[i] += queries * values[i] * values[i];
    }
}

double attention_sums_mean(const AttentionSums *sums, int bucket)
{
    return sums->values[bucket] / sums->queries;
}

double attention_sums_deviation(const AttentionSums *sums, int bucket)
{
    double mean = attention_sums_mean(sums, bucket);
    double variance = sums->squares[bucket] / sums->queries - mean * mean;
    return variance > 0.0 ? sqrt(variance) : 0.0; /* below 0 by rounding alone */
}

const char *attention_segment_name(SourceKind kind)
{
    static const char *const names[SOURCE_COUNT] = {
        [SOURCE_COMPRESSED] = "compressed memory",
        [SOURCE_MEMORY] = "memory",
        [SOURCE_WINDOW] = "window",
    };
    return names[kind];
}
