/* SPDX-License-Identifier: Apache-2.0
 *
 * compression_loss = task: f_c learns from the task loss itself (Rae et al. 2019, section 5.2).
 * Within one update the loss of a window flows into f_c through the compressed slots that the
 * `bptt_windows` windows before it produced; the slots that were evicted stay constants.
 *
 * A block is what one window's compression produced: its evicted slots are kept, and the gradients
 * of its fresh slots gather while later windows attend to them. When the last such window is
 * through, or the update ends, one backward pass of f_c uses them.
 */
#ifndef PAL_MEMORY_BPTT_H
#define PAL_MEMORY_BPTT_H

#include "src/layers/parallel_sequence.h"
#include "src/layers/window.h"
#include "src/memory/compression.h"
#include "src/memory/layer_memory.h"

typedef struct BpttBlock {
    bool used;
    int64_t window;  /* that evicted it: Window.index */
    int first_row;   /* of its micro-batch */
    int64_t *number; /* (B) LayerMemory.pushed when it entered; -1: not in this row */
    Tensor evicted;  /* (B,S,D) */
    Tensor dfresh;   /* (B,T/(cP),D) */
} BpttBlock;

/* Of one layer. */
typedef struct Bptt {
    int windows;              /* 0: this layer or configuration does without */
    const Sequence *sequence; /* of the tensor group, borrowed */
    int num_blocks;
    BpttBlock *blocks;    /* (num_blocks) */
    Tensor dcompressed;   /* (B,N,D): attention adds the compressed slots' gradient here */
    Tensor dblock, dpart; /* (B,T/c,D), (B,T/(cP),D): of one block; the sum over the group */
} Bptt;

/* Local. work: of the layer's compressor. */
void bptt_create(Bptt *bptt, Arena *arena, const ModelOptions *options, const Placement *place,
                 const Sequence *sequence, const CompressionWorkspace *work, int layer);

/* Local. Before a window's backward: clears dcompressed, or returns a tensor without data when no
 * gradient is wanted. */
Tensor bptt_begin(Device *device, Bptt *bptt, const MemoryMark *mark, const Window *window);

/* Collective over the tensor group. After a window's backward: hands dcompressed out to the blocks
 * that the mark shows; those that are through go into the weights' gradients. */
void bptt_collect(Device *device, Bptt *bptt, const Compressor *compressor, const MemoryMark *mark,
                  const Window *window);

/* Local. After compression and before the memory's push: the workspace's evicted slots become a
 * block. */
void bptt_push(Device *device, Bptt *bptt, const Compressor *compressor, const MemoryMark *mark,
               const Window *window, const bool *push);

/* Local. At the end of an update: every block goes into the weights' gradients. */
void bptt_finish(Device *device, Bptt *bptt, const Compressor *compressor);

#endif
