/* SPDX-License-Identifier: Apache-2.0
 *
 * The output layer and the loss:
 *
 *     z = x Wout + bout,   Wout = embedding^T when tied
 *     nats = -log softmax(z)[target]
 *
 * With clusters of the vocabulary (src/tensor/clusters.h; Grave et al. 2017, Baevski & Auli 2019)
 * each of them is such a softmax over the rows of its own table, the head for all positions, a tail
 * for those alone whose target lies in it; the nats of both are added:
 *
 *     z_i = (x Q_i^T) E_i^T + b_i
 *
 * When tied, E_i is the embedding's, and so is Q_i but for the head's.
 *
 * In a tensor group each rank has its slice of the vocabulary, of every cluster; for each token the
 * ranks exchange three numbers (highest logit, sum of exponentials, the target's logit), never
 * logits, and dx and the gradients of Q_i are partial sums over the group. x Q_i^T is computed by
 * every rank.
 *
 * Logits exist for one piece of the window at a time and become their own gradient in place; there
 * is no second logits buffer, and with a gradient wanted the products of backward follow at once.
 */
#ifndef PAL_LAYERS_PARALLEL_OUTPUT_H
#define PAL_LAYERS_PARALLEL_OUTPUT_H

#include "mpi/collectives.h"
#include "src/layers/cluster_rows.h"
#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

/* The softmax of one cluster; in a plain model that of all tokens. */
typedef struct OutputCluster {
    Weight table;      /* (V',d), or (d,V') where `columns` says so */
    Weight bias;       /* (V') */
    Weight projection; /* (d,D); none in a plain model */
    Cluster whole;
    int64_t first_row; /* of the slice, in the cluster */
    int64_t rows;      /* V' */
    int64_t piece;     /* positions whose logits exist together; the same on every rank */
} OutputCluster;

typedef struct OutputLayer {
    OutputCluster clusters[PAL_MAX_CLUSTERS];
    int count;
    bool columns;       /* the table has a column for each token: plain and not tied */
    const Group *group; /* the tensor group, borrowed */
    ClusterWork *work;  /* borrowed */
    Tensor logits;      /* (piece V') of any cluster */
    Tensor rounded;     /* (piece V') of operands: their gradient; logits itself in float32 */
    Tensor parts;       /* (P piece 3): what the slices contribute; none in a group of one */
} OutputLayer;

/* Local. work: of the same model, shared with its embedding. */
void output_create(OutputLayer *layer, Arena *arena, const Parameters *parameters,
                   const ModelOptions *options, const Placement *place, const Group *group,
                   ClusterWork *work);

/* Collective over the tensor group. nats (B,T), 0 where not counted. Unless dx (B,T,D) is none,
 * adds the gradient of the SUM of the nats into dx and into the weights' gradients. */
void output_loss(Device *device, const OutputLayer *layer, Tensor nats, Tensor dx, Tensor x,
                 const Window *window);

/* For generation, in a group of one: logits of the tokens that may follow x (1,D), to host memory;
 * softmax makes them probabilities. */
void output_logits(Device *device, const OutputLayer *layer, Real *logits /* (V) host */, Tensor x);

#endif
