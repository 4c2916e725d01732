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

#include "src/memory/compression.h"
#include "src/memory/layer_memory.h"

typedef struct BpttBlock {
    bool used;
    int age;        /* windows whose gradients it has received */
    int *shifts;    /* (B) blocks pushed after it, by row; -1: not in this row's memory */
    Tensor evicted; /* (B,T,D) */
    Tensor dfresh;  /* (B,T/c,D) */
} BpttBlock;

/* Of one layer. */
typedef struct Bptt {
    int windows;        /* 0: this layer or configuration does without */
    BpttBlock *blocks;  /* (windows) */
    Tensor dcompressed; /* (B,N,D): attention adds the compressed slots' gradient here */
} Bptt;

void bptt_create(Bptt *bptt, Arena *arena, const ModelOptions *options, int layer, int rows);

/* A row was emptied: its slots are gone from every block. */
void bptt_empty_row(Bptt *bptt, int row);

/* Before a window's backward: clears dcompressed, or returns a tensor without data when no
 * gradient is wanted. */
Tensor bptt_begin(Device *device, Bptt *bptt);

/* After a window's backward: hands dcompressed out to the blocks; those that are through go into
 * the weights' gradients. */
void bptt_collect(Device *device, Bptt *bptt, const Compressor *compressor);

/* After compression and with the memory's push: the workspace's evicted slots become a block. */
void bptt_push(Device *device, Bptt *bptt, const Compressor *compressor, const bool *push);

/* At the end of an update: every block goes into the weights' gradients. */
void bptt_finish(Device *device, Bptt *bptt, const Compressor *compressor);

#endif
