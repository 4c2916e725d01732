/* SPDX-License-Identifier: Apache-2.0
 *
 * Average attention over 18 buckets (Rae et al. 2019, figure 2): six each of compressed memory,
 * memory and window, oldest first. A sample is one row in one window; its value in a bucket is the
 * SUM over the bucket's slots of the attention weight, mean over heads and counted queries, so that
 * the values of a sample add up to 1. Over samples:
 *
 *     mean      = sum of w x / sum of w              w: the sample's counted queries
 *     deviation = sqrt(sum of w x^2 / sum of w - mean^2)
 *
 * Pure arithmetic; all functions are local.
 */
#ifndef PAL_RUN_ATTENTION_BUCKETS_H
#define PAL_RUN_ATTENTION_BUCKETS_H

#include "mpi/partition.h"
#include "src/layers/attention.h"

enum { SEGMENT_BUCKETS = 6, ATTENTION_BUCKETS = SOURCE_COUNT * SEGMENT_BUCKETS };

/* Doubles only: reduced over ranks as an array of them. */
typedef struct AttentionSums {
    double samples, queries; /* the second is the sum of w */
    double values[ATTENTION_BUCKETS], squares[ATTENTION_BUCKETS];
} AttentionSums;

enum { ATTENTION_SUMS = sizeof(AttentionSums) / sizeof(double) };

/* The slots of one of a segment's six buckets: their lengths differ by one at most, longer ones
 * first; with less than six slots the last ones are empty. */
Range attention_bucket_slots(int64_t slots, int bucket);

/* Adds the weights of a segment's slots to its six buckets. */
void attention_buckets_add(double *buckets /* (6) */, const Real *weights /* (slots) */,
                           int64_t slots);

void attention_sums_add(AttentionSums *sums, const double *values /* (18) */, double queries);
double attention_sums_mean(const AttentionSums *sums, int bucket);
double attention_sums_deviation(const AttentionSums *sums, int bucket);

/* "compressed memory", "memory", "window" */
const char *attention_segment_name(SourceKind kind);

#endif
