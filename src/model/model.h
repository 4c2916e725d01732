/* SPDX-License-Identifier: Apache-2.0
 *
 * The part of the stack that one rank holds: embedding (first stage), a range of layers with their
 * memories, output (last stage). What ranks of a tensor group do together happens inside; stages
 * meet in src/run/pipeline.
 *
 * A micro-batch is one window of one group of rows. What it needs between forward and backward lies
 * in a `flight`; other micro-batches may come between:
 *
 *     model_forward    loss of every token, and (training) the gradients of the output layer; layer
 *                      by layer the memory moves on: evicts, compresses, adds the compression loss
 *     model_backward   gradients of everything else                        (training)
 *
 * Of one row group the windows come in reading order, in each step.
 *
 * An update is one or more windows; its gradients are those of SUMS (of nats, of squared errors),
 * which the caller divides by the counts of the whole update. model_finish_update closes it.
 */
#ifndef PAL_MODEL_MODEL_H
#define PAL_MODEL_MODEL_H

#include "src/layers/embedding.h"
#include "src/layers/parallel_output.h"
#include "src/memory/bptt.h"
#include "src/memory/compression_loss.h"
#include "src/memory/gather.h"
#include "src/model/transformer_layer.h"

/* What a micro-batch leaves between its steps. n = T/P. */
typedef struct Flight {
    TransformerLayer *layers; /* (layers of this stage) */
    MemoryMark *marks;        /* (layers of this stage) what each layer's attention saw */
    LayerNorm final_norm;     /* with pre-norm, on the last stage */
    Tensor h;                 /* (B,n,D) input of the first layer: embedding, or the stage before */
    Tensor last;              /* (B,n,D) output of the last layer, borrowed: for the next stage */
    Tensor top, whole_top;    /* (B,n,D), (B,T,D) operands: what the output layer reads */
    Tensor nats;              /* (B,T) on the last stage */
    Tensor dh;                /* (B,n,D) gradient: before backward of `last`, after it of `h` */
    bool *push;               /* (B) rows whose memory moves on with this window */

    Window window; /* a copy; targets and starts are the caller's, for forward only */
    int32_t *inputs;
    int *counted;
} Flight;

/* Is told each layer of the stage, from the last one down, when the layer's gradients are complete
 * but for f_c's. */
typedef void (*AfterLayer)(void *context, int layer);

/* For tests: sees the embedding's output h (B,n,D) of every micro-batch, and may spoil it. */
typedef struct EmbeddingHook {
    void (*call)(void *context, const Window *window, Tensor h); /* NULL: none */
    void *context;
} EmbeddingHook;

/* For measures: sees every layer of the stage in every micro-batch, after its forward and before its
 * memory moves on. Collective over the tensor group. */
typedef struct LayerHook {
    void (*call)(void *context, int flight, int layer, const AttentionInput *input);
    void *context;
} LayerHook;

typedef struct Model {
    ModelOptions options;
    Placement place;
    Device *device;            /* borrowed */
    bool training;             /* gradients, dropout, compression loss */
    bool keep_memory;          /* reset_memory = never: documents do not empty it */
    bool measures_compression; /* computes the compression loss, also where it trains nothing */

    const Parameters *parameters; /* borrowed; two models may share them */
    Sequence sequence;            /* of the tensor group */
    PositionTables positions;
    Embedding embedding;
    OutputLayer output;
    ClusterWork cluster_work; /* of both, in an adaptive model */
    LayerMemory *memory;      /* (layers of this stage) of all rows of this rank */
    MemoryGather gather;

    Flight *flights;         /* (place.flights) */
    Activations activations; /* what layers share */

    Compressor *compressors; /* (layers of this stage) */
    Weight *decoders;        /* (layers of this stage) */
    Bptt *bptt;              /* (layers of this stage) */
    const CompressionLoss *compression_loss;
    LossSum *compression_sums; /* (layers of this stage) of the running update, or (measured) since
                                  the caller has cleared them: this rank's share */

    Tensor dtop, whole_dtop; /* (B,n,D), (B,T,D) gradient of what the output layer reads */
    LayerWorkspace work;
    CompressionWorkspace compression_work;
    CompressionLossWorkspace loss_work;
    bool weights_current; /* operands and r of every layer belong to the present weights */
    EmbeddingHook hook;
    LayerHook layer_hook; /* no call: none */
} Model;

/* Local. Takes everything from the arena; the caller seals it and then calls model_start. Host
 * memory for the lists comes from the arena too. tensor: the group that place->tensor_parts counts;
 * it outlives the model. */
Status model_create(Model *model, Device *device, Arena *arena, const ModelOptions *options,
                    const Placement *place, const Group *tensor, const Parameters *parameters,
                    bool training, bool keep_memory);

/* Local. After model_create, before the arena is sealed: a model that does not train adds up its
 * compression loss all the same. Nothing where no layer compresses, or model.compression_loss has
 * no loss of its own (none, task). */
void model_measure_compression(Model *model, Arena *arena);

/* Local. Once, after arena_seal: fills constant tables. */
void model_start(Model *model);

/* Local. After every change of the weights. */
void model_weights_changed(Model *model);

/* Local. Rounds operands and projects positions anew where the weights have changed; what computes
 * does so by itself. */
void model_use_weights(Model *model);

/* Local. Every row starts anew, or one of those of this rank. */
void model_empty_memory(Model *model);
void model_empty_row(Model *model, int row);
/* Local. Whether all that this rank has of the row's memory is finite. */
bool model_row_is_finite(const Model *model, int row);

/* All three are collective over the tensor group: the same flight, by its number, and micro-batch
 * on all of its ranks.
 * first_row: of the micro-batch among the rows of this rank. On stages after the first one
 * flight->h is there before forward; on stages before the last one flight->dh before backward.
 * Without `remember` the memory does not move on: model_remember does it later. */
void model_forward(Model *model, int number, const Window *window, int first_row, bool remember);
void model_backward(Model *model, int number, AfterLayer after_layer, void *context);
void model_remember(Model *model, int number);

/* Local. The end of an update's backward, for after_layer: in the last micro-batch's
 * model_backward, layer by layer as it goes on (else NULL there), or behind it, when others wait
 * for what that backward has computed. */
void model_finish_layers(Model *model, AfterLayer after_layer, void *context);

/* Local. Clears gradients and compression sums, and projects positions with the new weights. */
void model_begin_update(Model *model);
/* Local. The last gradients of f_c (compression_loss = task). */
void model_finish_update(Model *model);

/* Bytes of rolling memory of this rank's rows, layers and positions, without room for flights. */
size_t model_memory_bytes(const Model *model);

/* What attention of this layer of the stage reads: the view, and where the window's own a lies. */
AttentionInput model_attention_input(const Model *model, int flight, int layer, MemoryView view);

#endif
