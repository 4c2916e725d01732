/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses that train f_c (Rae et al. 2019, section 3.2 and Algorithm 2). Each one reads the evicted
 * slots and what f_c made of them, adds its squared error to a running sum with the number of
 * terms, and (with `gradient`) leaves d(sum)/d(fresh) in the workspace, from which f_c's own
 * backward goes on.
 * Nothing of it reaches the main network: evicted slots, queries and the attention's weights are
 * constants here.
 *
 * The loss of a layer is sum / count over the whole update, so gradients are scaled at its end.
 * To add a loss: one file, one row in the table of compression_loss.c, its name in io/config.
 */
#ifndef PAL_MEMORY_COMPRESSION_LOSS_H
#define PAL_MEMORY_COMPRESSION_LOSS_H

#include "src/layers/attention.h"
#include "src/layers/parallel_sequence.h"
#include "src/memory/compression.h"
#include "src/memory/layer_memory.h"

/* Buffers shared by all layers. */
typedef struct CompressionLossWorkspace {
    Tensor fresh, dfresh;                        /* (B,T/c,D) of the whole tensor group */
    Tensor evicted_k, evicted_v;                 /* (B,T,D/P) */
    Tensor fresh_k, fresh_v, dfresh_k, dfresh_v; /* (B,T/c,D/P) */
    Tensor target;                               /* (B,T,D/P) */
    Tensor prediction;                           /* (B,T,D/P); autoencoding: (B,T/P,D) */
    Tensor lse, lse_fresh;                       /* (B,H/P,T) */
    int *valid_evicted, *valid_fresh, *counted;  /* (B) */
    bool *mask;                                  /* (B T) terms that count */
} CompressionLossWorkspace;

/* Of one layer and window. All borrowed. */
typedef struct CompressionLossInput {
    const AttentionLayer *attention; /* after the window's forward */
    const LayerMemory *memory;
    const MemoryMark *mark;       /* what the window saw */
    const Compressor *compressor; /* after its forward: work->evicted, work->fresh */
    Weight decoder;               /* (D,cD), autoencoding */
    const Window *window;
    const Sequence *sequence;
    bool gradient; /* false: the sum alone, for a model that does not train */
} CompressionLossInput;

/* What a layer's loss is the quotient of, over one update: this rank's share of both. */
typedef struct LossSum {
    double sum, count;
} LossSum;

typedef struct CompressionLoss {
    /* NULL where there is nothing to add. */
    void (*apply)(Device *device, CompressionLossWorkspace *work, const CompressionLossInput *input,
                  LossSum *loss);
} CompressionLoss;

const CompressionLoss *compression_loss_find(CompressionLossKind kind);

void compression_loss_workspace_create(CompressionLossWorkspace *work, Arena *arena,
                                       const ModelOptions *options, const Placement *place,
                                       const CompressionWorkspace *compression,
                                       const Sequence *sequence);

/* Rows of the table of losses, collective over the tensor group. Both overwrite
 * compressor->work->dfresh. */
void attention_reconstruction(Device *, CompressionLossWorkspace *, const CompressionLossInput *,
                              LossSum *);
void autoencoding(Device *, CompressionLossWorkspace *, const CompressionLossInput *, LossSum *);

#endif
