/* SPDX-License-Identifier: Apache-2.0
 *
 * Multi-head attention of one layer over [compressed memory ; memory ; window] with relative
 * positions (Dai et al. 2019, section 3.3; Rae et al. 2019, section 3.1):
 *
 *     q = a Wq,  k = s Wk,  v = s Wv        for each source s of keys, which are not concatenated
 *     r = sinusoids Wr                      projected positions, one table a source axis
 *     y = softmax(logits(q, k, r)) v Wo + bo
 *
 * Memory and compressed memory are constants; only bptt asks for the compressed slots' gradient.
 *
 * In a tensor group each rank has H/P heads: columns of Wq, Wk, Wv, Wr and rows of Wo. Its y and da
 * are then partial sums over the group, and bo belongs to the sum, so one rank adds it. Below D'
 * = D/P and H' = H/P.
 */
#ifndef PAL_LAYERS_ATTENTION_H
#define PAL_LAYERS_ATTENTION_H

#include "src/layers/activations.h"
#include "src/layers/positions.h"
#include "src/layers/window.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

/* The sources of keys, oldest first. */
typedef enum SourceKind {
    SOURCE_COMPRESSED,
    SOURCE_MEMORY,
    SOURCE_WINDOW,
    SOURCE_COUNT
} SourceKind;

/* What a layer attends to in one window. All borrowed. */
typedef struct AttentionInput {
    Tensor source[SOURCE_COUNT];    /* (B,N,D), (B,M,D), (B,T,D): the last one is a */
    const int *valid[SOURCE_COUNT]; /* (B) newest valid slots; NULL for the window */
} AttentionInput;

typedef struct AttentionLayer {
    int heads, first_head, layer; /* heads: H' */
    double dropout;
    Weight query, key, value;                             /* (D,D') each */
    Weight output, output_bias;                           /* (D',D), (D) */
    Weight position, content_bias, position_bias;         /* (D,D'), (H',E), (H',E) */
    Weight position_compressed, position_bias_compressed; /* the shared ones, or their own */
    PositionAxis compressed_axis;
    int memory_slots;
    Tensor sinusoids, sinusoids_compressed; /* (rows of positions,D) borrowed */

    /* Saved by forward. */
    Tensor q;                                /* (B,T,D') */
    Tensor k[SOURCE_COUNT], v[SOURCE_COUNT]; /* (B,S,D') */
    Tensor r, r_compressed;                  /* (rows of positions,D') */
    Tensor dr, dr_compressed; /* (as r) float32 gradients, adding up over an update's windows */
    Tensor o, lse;            /* (B,T,D'), (B,H',T) */
} AttentionLayer;

/* Gradients that live within one backward call, shared by all layers. */
typedef struct AttentionWorkspace {
    Tensor dq, dout;                           /* (B,T,D') */
    Tensor dk[SOURCE_COUNT], dv[SOURCE_COUNT]; /* of the largest layer */
    Tensor dr_rounded; /* (rows of positions,D') of the longest axis; none in float32 */
} AttentionWorkspace;

/* `like`: a layer of the same number whose projected positions are shared, or NULL. With `training`
 * there is room for their gradients. */
void attention_create(AttentionLayer *layer, Arena *arena, PositionTables *tables,
                      const Parameters *parameters, const ModelOptions *options,
                      const Placement *place, const Activations *activations, int number,
                      const AttentionLayer *like, bool training);

void attention_workspace_create(AttentionWorkspace *work, Arena *arena, const ModelOptions *options,
                                const Placement *place);

/* The layer's queries and sources of keys as the device wants them; also for attention_step.c. */
AttentionQueries attention_describe_queries(const AttentionLayer *layer, const Window *window,
                                            bool training);
void attention_describe_sources(const AttentionLayer *layer, const AttentionInput *input,
                                AttentionSource sources[SOURCE_COUNT]);

/* r of both axes; once after every change of the weights. */
void attention_project_positions(Device *device, AttentionLayer *layer);

/* Keys and values of the first sources: of all, again, for a backward whose forward lies before
 * those of other layers that share them; of all before the window, for steps in it. */
void attention_project_sources(Device *device, AttentionLayer *layer, const AttentionInput *input,
                               int num_sources);

/* y (B,T,D) */
void attention_forward(Device *device, AttentionLayer *layer, Tensor y, const AttentionInput *input,
                       const Window *window, bool training);

/* Adds into da (B,T,D), the weights' gradients, dr and, unless none, dcompressed (B,N,D). */
void attention_backward(Device *device, AttentionLayer *layer, AttentionWorkspace *work, Tensor da,
                        Tensor dcompressed, Tensor dy, const AttentionInput *input,
                        const Window *window);

/* r = sinusoids Wr does not depend on the window, so the gradient of Wr is one product an update:
 * the first clears dr, the second adds the product of what has gathered there. */
void attention_begin_update(Device *device, AttentionLayer *layer);
void attention_positions_backward(Device *device, AttentionLayer *layer,
                                  const AttentionWorkspace *work);

/* usage (B,S): mean weight, over this rank's heads and counted queries, on each slot of one source
 * in the window that forward saw last. */
void attention_usage(Device *device, AttentionLayer *layer, Tensor usage, SourceKind source,
                     const AttentionInput *input, const Window *window);

#endif
