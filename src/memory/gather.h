/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of one layer as attention wants it: whole, oldest slot first, from the shards of the
 * tensor group. It does not depend on the current window, so the gather of the next layer runs
 * while this layer computes.
 *
 *     gather_begin(g, memory of layer l + 1, mark);
 *     ... layer l computes; its own collectives move the transfer on ...
 *     MemoryView view = gather_end(g);       valid until the next gather_end
 */
#ifndef PAL_MEMORY_GATHER_H
#define PAL_MEMORY_GATHER_H

#include "mpi/collectives.h"
#include "src/memory/layer_memory.h"

typedef struct MemoryView {
    Tensor recent, compressed; /* (B,M,D), (B,N,D) */
} MemoryView;

typedef struct MemoryGather {
    const Group *group;        /* the tensor group, borrowed */
    Device *device;            /* borrowed */
    Tensor recent, compressed; /* (B,M,D), (B,N,D) of the largest layer: what views point to */
    Tensor send, receive;      /* shards: this rank's, everyone's; none in a group of one */
    int *counts, *firsts;      /* (P) words of each rank in receive */
    Transfer transfer;
    const LayerMemory *memory; /* under way; NULL: nothing is */
    const MemoryMark *mark;
} MemoryGather;

/* Local. For any layer of this stage. */
void gather_create(MemoryGather *gather, const Group *group, Device *device, Arena *arena,
                   const ModelOptions *options, const Placement *place);

/* Collective over the tensor group. Memory and mark stay as they are until gather_end. */
void gather_begin(MemoryGather *gather, const LayerMemory *memory, const MemoryMark *mark);
MemoryView gather_end(MemoryGather *gather);

#endif
