/* SPDX-License-Identifier: Apache-2.0
 *
 * Token embedding:  h = embedding[token] * sqrt(D), or with clusters of the vocabulary, of which
 * token lies in number i (src/tensor/clusters.h; Baevski & Auli 2019):
 *
 *     h = embedding_i[token - a_i] P_i * sqrt(D)
 *
 * In a tensor group each rank has the rows of its slice of the vocabulary, and gives zeros for the
 * other tokens: the sum over the group is h. With clusters it projects the rows of its own tokens
 * only, so the gradient that it gives P_i is a share of the sum, too. Padding is then 0.
 */
#ifndef PAL_LAYERS_EMBEDDING_H
#define PAL_LAYERS_EMBEDDING_H

#include "src/layers/cluster_rows.h"
#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

/* A slice of a cluster's table. */
typedef struct EmbeddingCluster {
    Weight table;      /* (V',d); of tied embeddings classes may stand behind the tokens */
    Weight projection; /* (d,D); none in a plain model */
    int64_t first_token, tokens;
} EmbeddingCluster;

typedef struct Embedding {
    EmbeddingCluster clusters[PAL_MAX_CLUSTERS];
    int count;
    ClusterWork *work; /* borrowed */
} Embedding;

/* Local. work: of the same model, shared with its output layer. */
void embedding_create(Embedding *embedding, const Parameters *parameters,
                      const ModelOptions *options, const Placement *place, ClusterWork *work);

void embedding_forward(Device *device, const Embedding *embedding, Tensor h /* (B,T,D) */,
                       const Window *window);

/* Adds into the gradients of tables and projections. */
void embedding_backward(Device *device, const Embedding *embedding, Tensor dh,
                        const Window *window);

#endif
