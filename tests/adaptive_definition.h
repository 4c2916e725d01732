/* SPDX-License-Identifier: Apache-2.0
 *
 * What adaptive inputs and the adaptive softmax are (src/tensor/clusters.h), in plain loops of double
 * precision: the probability of every token of the vocabulary, written out, and the embedding of a
 * token.
 */
#ifndef PAL_TESTS_ADAPTIVE_DEFINITION_H
#define PAL_TESTS_ADAPTIVE_DEFINITION_H

#include "src/tensor/parameters.h"

enum { ADAPTIVE_MOST_TOKENS = 40, ADAPTIVE_MOST_WIDTH = 18 };

/* Weights of embedding and output layer, by the names of checkpoints. */
typedef struct AdaptiveDefinition {
    const ModelOptions *options; /* borrowed; of a model without layers and norms */
    Parameters whole;            /* their table, without numbers */
    double *weights;             /* of all its rows, one after the other */
} AdaptiveDefinition;

/* All weights are 0. */
void adaptive_create(AdaptiveDefinition *d, const ModelOptions *options);
void adaptive_destroy(AdaptiveDefinition *d);

/* Numbers of a whole tensor. */
int64_t adaptive_count(const Parameter *row);

/* log p of all tokens after x. */
void adaptive_log_p(const AdaptiveDefinition *d, const double *x /* (D) */,
                    double *log_p /* (V) */);

void adaptive_embed(const AdaptiveDefinition *d, int32_t token, double *h /* (D) */);

#endif
