/* SPDX-License-Identifier: Apache-2.0
 *
 * The clusters of the vocabulary for adaptive inputs and the adaptive softmax (Baevski & Auli 2019;
 * Grave et al. 2017), or the one cluster that a plain softmax is. Tokens are numbered by falling
 * frequency; with cut-offs a_1 < ... < a_C, a_0 = 0 and a_{C+1} = V
 *
 *     cluster i = tokens [a_i, a_{i+1}),    width d_i = D / divisor^i
 *     log p(token of cluster 0) = log softmax_0(token)
 *     log p(token of cluster i) = log softmax_0(class i) + log softmax_i(token)
 *
 * A cluster is a softmax over the rows of its table. That of cluster 0, the head, has V_0 + C rows:
 * the classes i = 1 ... C stand behind its tokens, and as inputs they do not occur. The other
 * clusters are the tails. Pure arithmetic.
 */
#ifndef PAL_TENSOR_CLUSTERS_H
#define PAL_TENSOR_CLUSTERS_H

#include "src/tensor/model_options.h"

enum { PAL_MAX_CLUSTERS = PAL_MAX_CUTOFFS + 1 };

typedef struct Cluster {
    int64_t first_token, tokens; /* a_i, V_i */
    int64_t rows;                /* of the softmax: tokens, in the head also the C classes */
    int64_t width;               /* d_i */
} Cluster;

/* Whether there are clusters, and projections between their widths and D. */
static inline bool model_is_adaptive(const ModelOptions *options)
{
    return options->num_cutoffs > 0 && options->cutoffs[0] > 0;
}

/* C + 1; 1: the plain softmax. */
static inline int model_clusters(const ModelOptions *options)
{
    return model_is_adaptive(options) ? options->num_cutoffs + 1 : 1;
}

static inline Cluster model_cluster(const ModelOptions *options, int i)
{
    int tails = model_clusters(options) - 1;
    int64_t first = i == 0 ? 0 : options->cutoffs[i - 1];
    int64_t end = i == tails ? options->vocabulary : options->cutoffs[i];
    Cluster cluster = {first, end - first, end - first + (i == 0 ? tails : 0), options->width};
    for (int j = 0; j < i; j++) cluster.width /= options->adaptive_divisor;
    return cluster;
}

#endif
