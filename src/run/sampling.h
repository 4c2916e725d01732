/* SPDX-License-Identifier: Apache-2.0
 *
 * From the logits of the next token to a token. A pure function: the random number is given.
 *
 *     p = softmax(logits / temperature) over the top_k likeliest, cut to the likeliest whose p add
 *     up to top_p at least, scaled to sum 1 again                          (Holtzman et al. 2020)
 *
 * Tokens stand in order of falling p, equal ones by number; `uniform` picks one along their sums.
 */
#ifndef PAL_RUN_SAMPLING_H
#define PAL_RUN_SAMPLING_H

#include <stdint.h>

#include "src/base/status.h"
#include "src/tensor/dims.h"

typedef struct SamplingOptions {
    double temperature; /* 0: always the likeliest token */
    int64_t top_k;      /* 0: all */
    double top_p;       /* in (0, 1]; 1: all */
} SamplingOptions;

typedef struct SamplingCandidate {
    double value; /* logit, then weight */
    int token;
} SamplingCandidate;

/* Local. Error: PAL_ERROR_USAGE with the value and what it may be. */
Status sampling_check(const SamplingOptions *options);

/* Local. Chooses from `count` logits, never `excluded` (-1: all may be); uniform is in [0, 1).
 * Tokens whose logit is not finite are never chosen; -1 when that leaves none. */
int sampling_choose(const SamplingOptions *options, const Real *logits, int count, int excluded,
                    double uniform, SamplingCandidate *candidates /* (count) workspace */);

#endif
