/* SPDX-License-Identifier: Apache-2.0
 *
 * One layer of the stack: attention and feed-forward, each with norm, dropout and residual.
 *
 *     pre :  a = LN_1(h);  s = h + y(a);        h' = s + mlp(LN_2(s))
 *     post:  a = h;        s = LN_1(h + y(a));  h' = LN_2(s + mlp(s))
 *
 * a is what the memory stores. y and mlp stand for the sub-layers with dropout after them.
 *
 * In a tensor group each rank holds its positions of the residual stream; what the sub-layers read
 * is gathered first, and what they give is summed and scattered (layers/parallel_sequence.h). n
 * below is T/P. In a group of one, whole tensors are the parts themselves.
 */
#ifndef PAL_MODEL_TRANSFORMER_LAYER_H
#define PAL_MODEL_TRANSFORMER_LAYER_H

#include "src/layers/attention.h"
#include "src/layers/feed_forward.h"
#include "src/layers/layer_norm.h"
#include "src/layers/parallel_sequence.h"

typedef struct TransformerLayer {
    Norm norm;
    double dropout;
    int number;
    int64_t first_position;   /* of this rank's */
    const Sequence *sequence; /* borrowed */
    LayerNorm attention_norm, feed_forward_norm;
    AttentionLayer attention;
    FeedForward feed_forward;

    /* Saved by forward, (B,n,D) each but for the whole ones (B,T,D). */
    Tensor h;          /* input, borrowed: the output of the layer below */
    Tensor a, whole_a; /* input of attention; with post-norm h, rounded or itself */
    Tensor sum;        /* h + y; with post-norm the input of LN_1 */
    Tensor b, whole_b; /* input of the feed-forward: LN_2(sum) or LN_1(sum) */
    Tensor normed; /* with post-norm LN_1(sum) for the residual stream: b before it is rounded */
    Tensor out;    /* pre: h'.  post: s + mlp(s), the input of LN_2 */
    Tensor next;   /* h'; out itself with pre-norm */
} TransformerLayer;

/* What lives within one layer's forward or backward, shared by all layers. */
typedef struct LayerWorkspace {
    Tensor partial; /* (B,T,D) this rank's share of a sum over the group; none in a group of one */
    /* For backward alone: */
    AttentionWorkspace attention;
    Tensor branch, whole_branch; /* (B,n,D), (B,T,D) operands: gradient of a sub-layer's output */
    Tensor inner;                /* (B,n,D) float32: gradient of a sub-layer's input */
    Tensor dhidden;              /* (B,T,F/P) */
} LayerWorkspace;

/* h: the tensor that holds the layer's input in every window. `like`: the same layer of another
 * micro-batch, or NULL. */
void transformer_layer_create(TransformerLayer *layer, Arena *arena, PositionTables *tables,
                              const Parameters *parameters, const ModelOptions *options,
                              const Placement *place, const Sequence *sequence,
                              const Activations *activations, int number, Tensor h,
                              const TransformerLayer *like, bool training);

void layer_workspace_create(LayerWorkspace *work, Arena *arena, const ModelOptions *options,
                            const Placement *place, const Sequence *sequence, bool training);

/* Collective over the tensor group. The input's window source is whole_a, which is written here. */
void transformer_layer_forward(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                               const AttentionInput *input, const Window *window, bool training);

/* Collective over the tensor group. dh (B,n,D): in, the gradient of h'; out, the gradient of h.
 * Adds into the weights' gradients and, unless none, dcompressed (B,N,D), this rank's share. */
void transformer_layer_backward(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                                Tensor dh, Tensor dcompressed, const AttentionInput *input,
                                const Window *window);

#endif
