/* SPDX-License-Identifier: Apache-2.0
 *
 * The stack that one rank holds: embedding, layers with their memories, output. Local throughout:
 * no function here communicates.
 *
 * A window goes through three steps, in this order:
 *
 *     model_forward    loss of every token, and (training) the gradients of the output layer
 *     model_backward   gradients of everything else                        (training)
 *     model_remember   evicts, compresses, adds the compression loss, moves the memory on
 *
 * An update is one or more windows; its gradients are those of SUMS (of nats, of squared errors),
 * which the caller divides by the counts of the whole update. model_finish_update closes it.
 */
#ifndef PAL_MODEL_MODEL_H
#define PAL_MODEL_MODEL_H

#include "src/layers/output.h"
#include "src/memory/bptt.h"
#include "src/memory/compression_loss.h"
#include "src/model/transformer_layer.h"

typedef struct Model {
    ModelOptions options;
    Device *device;   /* borrowed */
    int rows;         /* B */
    bool training;    /* gradients, dropout, compression loss */
    bool keep_memory; /* reset_memory = never: documents do not empty it */

    const Parameters *parameters; /* borrowed; two models may share them */
    PositionTables positions;
    Weight embedding;
    TransformerLayer *layers; /* (L) */
    LayerMemory *memory;      /* (L) */
    LayerNorm final_norm;     /* with pre-norm */
    OutputLayer output;

    Compressor *compressors; /* (L) */
    Weight *decoders;        /* (L) */
    Bptt *bptt;              /* (L) */
    const CompressionLoss *compression_loss;
    LossSum *compression_sums; /* (L) of the running update */

    Tensor h;        /* (B,T,D) embedding output */
    Tensor top;      /* (B,T,D) what the output layer reads */
    Tensor dh, dtop; /* (B,T,D) */
    Tensor nats;     /* (B,T) of the last window */
    LayerWorkspace work;
    CompressionWorkspace compression_work;
    CompressionLossWorkspace loss_work;
    bool *push;             /* (B) rows whose memory moves on with this window */
    bool positions_current; /* r of every layer belongs to the present weights */
} Model;

/* Takes everything from the arena; the caller seals it and then calls model_start. Host memory
 * for the lists comes from the arena too. */
Status model_create(Model *model, Device *device, Arena *arena, const ModelOptions *options,
                    const Parameters *parameters, int rows, bool training, bool keep_memory);

/* Once, after arena_seal: fills constant tables. */
void model_start(Model *model);

/* After every change of the weights. */
void model_weights_changed(Model *model);

/* Empties the memory of rows where a document starts, then computes model->nats. */
void model_forward(Model *model, const Window *window);
void model_backward(Model *model, const Window *window);
void model_remember(Model *model, const Window *window);

/* Clears gradients and compression sums. */
void model_begin_update(Model *model);
/* The last gradients of f_c (compression_loss = task). */
void model_finish_update(Model *model);

/* What attention of this layer reads, before the window's own a is known. */
AttentionInput model_attention_input(const Model *model, int layer);

#endif
