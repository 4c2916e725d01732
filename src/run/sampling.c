/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/sampling.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

Status sampling_check(const SamplingOptions *options)
{
    if (!isfinite(options->temperature) || options->temperature < 0.0)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--temperature is %g; it must be 0 (always the likeliest token) or more, 1 is as "
                 "the model predicts",
                 options->temperature);
    if (options->top_k < 0)
        PAL_FAIL(PAL_ERROR_USAGE, "--top-k is %lld; it must be 1 or more, or 0 for all tokens",
                 (long long)options->top_k);
    if (!(options->top_p > 0.0 && options->top_p <= 1.0))
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--top-p is %g; it must be more than 0 and at most 1 (all tokens)",
                 options->top_p);
    return PAL_OK;
}

static int likeliest_first(const void *left, const void *right)
{
    const SamplingCandidate *a = left, *b = right;
    if (a->value != b->value) return a->value > b->value ? -1 : 1;
    return a->token < b->token ? -1 : 1;
}

/* Those that may be chosen, likeliest first; returns their number. */
static int list_candidates(SamplingCandidate *candidates, const Real *logits, int count,
                           int excluded)
{
    int listed = 0;
    for (int token = 0; token < count; token++)
        if (token != excluded && isfinite(logits[token]))
            candidates[listed++] = (SamplingCandidate){(double)logits[token], token};
    qsort(candidates, (size_t)listed, sizeof *candidates, likeliest_first);
    return listed;
}

/* Logits become weights relative to the likeliest; returns their sum. */
static double weigh(SamplingCandidate *candidates, int count, double temperature)
{
    double largest = candidates[0].value, sum = 0.0;
    for (int i = 0; i < count; i++) {
        candidates[i].value = exp((candidates[i].value - largest) / temperature);
        sum += candidates[i].value;
    }
    return sum;
}

/* The first candidate with which the sum of weights exceeds `limit`; with `reaches`, meets it. */
static int find_sum(const SamplingCandidate *candidates, int count, double limit, bool reaches)
{
    double sum = 0.0;
    for (int i = 0; i < count; i++) {
        sum += candidates[i].value;
        if (sum > limit || (reaches && sum >= limit)) return i;
    }
    return count - 1; /* rounding */
}

int sampling_choose(const SamplingOptions *options, const Real *logits, int count, int excluded,
                    double uniform, SamplingCandidate *candidates)
{
    int kept = list_candidates(candidates, logits, count, excluded);
    if (kept == 0) return -1;
    if (options->temperature == 0.0) return candidates[0].token;
    if (options->top_k > 0 && options->top_k < kept) kept = (int)options->top_k;

    double sum = weigh(candidates, kept, options->temperature);
    if (options->top_p < 1.0) {
        kept = find_sum(candidates, kept, options->top_p * sum, true) + 1;
        sum = 0.0;
        for (int i = 0; i < kept; i++) sum += candidates[i].value;
    }
    return candidates[find_sum(candidates, kept, uniform * sum, false)].token;
}
