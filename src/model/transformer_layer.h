/* SPDX-License-Identifier: Apache-2.0
 *
 * One layer of the stack: attention and feed-forward, each with norm, dropout and residual.
 *
 *     pre :  a = LN_1(h);  s = h + y(a);        h' = s + mlp(LN_2(s))
 *     post:  a = h;        s = LN_1(h + y(a));  h' = LN_2(s + mlp(s))
 *
 * a is what the memory stores. y and mlp stand for the sub-layers with dropout after them.
 */
#ifndef PAL_MODEL_TRANSFORMER_LAYER_H
#define PAL_MODEL_TRANSFORMER_LAYER_H

#include "src/layers/attention.h"
#include "src/layers/feed_forward.h"
#include "src/layers/layer_norm.h"

typedef struct TransformerLayer {
    Norm norm;
    double dropout;
    int number;
    LayerNorm attention_norm, feed_forward_norm;
    AttentionLayer attention;
    FeedForward feed_forward;

    /* Saved by forward, (B,T,D) each. */
    Tensor h;    /* input, borrowed: the output of the layer below */
    Tensor a;    /* input of attention; h itself with post-norm */
    Tensor sum;  /* h + y; with post-norm the input of LN_1 */
    Tensor b;    /* input of the feed-forward: LN_2(sum) or LN_1(sum) */
    Tensor out;  /* pre: h'.  post: s + mlp(s), the input of LN_2 */
    Tensor next; /* h'; out itself with pre-norm */
} TransformerLayer;

/* Gradients within one layer's backward, shared by all layers. */
typedef struct LayerWorkspace {
    AttentionWorkspace attention;
    Tensor branch;  /* (B,T,D) gradient of a sub-layer's output */
    Tensor inner;   /* (B,T,D) gradient of a sub-layer's input */
    Tensor dhidden; /* (B,T,F) */
} LayerWorkspace;

/* h: the tensor that holds the layer's input in every window. */
void transformer_layer_create(TransformerLayer *layer, Arena *arena, PositionTables *tables,
                              const Parameters *parameters, const ModelOptions *options, int number,
                              int rows, Tensor h);

void layer_workspace_create(LayerWorkspace *work, Arena *arena, const ModelOptions *options,
                            int rows);

/* input->source[SOURCE_WINDOW] is set here, to a. */
void transformer_layer_forward(Device *device, TransformerLayer *layer, AttentionInput *input,
                               const Window *window, bool training);

/* dh (B,T,D): in, the gradient of h'; out, the gradient of h. Adds into the weights' gradients and,
 * unless none, dcompressed (B,N,D). */
void transformer_layer_backward(Device *device, TransformerLayer *layer, LayerWorkspace *work,
                                Tensor dh, Tensor dcompressed, const AttentionInput *input,
                                const Window *window);

#endif
