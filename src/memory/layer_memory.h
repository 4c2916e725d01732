/* SPDX-License-Identifier: Apache-2.0
 *
 * The rolling memory of one layer, for the rows that this rank holds (Rae et al. 2019, Algorithm
 * 1).
 *
 * After a window with layer inputs a (B,T,D):
 *
 *     all         = [recent ; a]                  (M+T, D), a a constant from here on
 *     evicted     = all[:T],  recent' = all[T:]
 *     compressed' = [compressed ; f_c(evicted)][-N:]
 *
 * Slots are ordered oldest first; those since the row was emptied are always the newest ones.
 *
 * Each rank of a tensor group keeps T/P positions of every window and T/(cP) of its fresh slots
 * (mpi/shard_order.h), in rings that are a few windows longer than M and N: so what a window saw
 * can still be read in its backward, after later windows have moved the memory on.
 */
#ifndef PAL_MEMORY_LAYER_MEMORY_H
#define PAL_MEMORY_LAYER_MEMORY_H

#include <stdbool.h>

#include "mpi/partition.h"
#include "mpi/shard_order.h"
#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/placement.h"

/* The newest slots of an endless row of them. */
typedef struct SlotRing {
    ShardOrder order; /* slots: M or N; block: T or T/c */
    int64_t kept;     /* of them on this rank */
    int64_t entering; /* with every window, on this rank: T/P or T/(cP) */
    Tensor slots;     /* (rows, kept and some more, D): slot number s at s mod its second size */
    int *held;        /* (rows) newest slots of the whole that entered since the row was emptied */
} SlotRing;

typedef struct LayerMemory {
    int rows, window, rate, part; /* all rows of this rank; T; c; p */
    EmptyMemory empty;
    SlotRing recent, compressed;
    int64_t *pushed;       /* (rows) windows that have entered */
    int *valid_compressed; /* (rows) held compressed slots that were made of held recent ones */
} LayerMemory;

/* What the rows of one micro-batch see: enough to read it again later. */
typedef struct MemoryMark {
    int first_row, rows;
    int64_t *pushed;                      /* (B) */
    int *held_recent, *held_compressed;   /* (B) */
    int *valid_recent, *valid_compressed; /* (B) newest slots that queries may see */
} MemoryMark;

/* Starts empty in every row. later_windows: how many windows may enter between a mark and its last
 * reading. */
void memory_create(LayerMemory *memory, Arena *arena, const ModelOptions *options,
                   const Placement *place, int layer, int later_windows);
void memory_mark_create(MemoryMark *mark, Arena *arena, int rows);

/* Local. M and N of the whole memory. */
static inline int64_t memory_slots(const LayerMemory *m) { return m->recent.order.slots; }
static inline int64_t memory_compressed_slots(const LayerMemory *m)
{
    return m->compressed.order.slots;
}

/* Row `row` starts a new document: nothing in it is held any more. With empty_memory = zeros its
 * slots are read as zeros, and all are valid. */
void memory_empty_row(LayerMemory *memory, int row);

/* Whether all that this rank's shards of the row hold are finite numbers. */
bool memory_row_is_finite(Device *device, const LayerMemory *memory, int row);

/* Where rows [first_row, first_row + B) stand now. */
void memory_mark(const LayerMemory *memory, MemoryMark *mark, int first_row);

/* This rank's slots of one row and ring as the mark saw them, oldest first, to where `to` begins. */
void memory_read_shard(Device *device, const SlotRing *ring, int row, int64_t pushed, Tensor to);
/* The same of slots [first, first + count) of the shard alone, to the host. */
void memory_download(Device *device, const SlotRing *ring, int row, int64_t pushed, int64_t first,
                     int64_t count, Real *to);

/* Row `row` goes on from a checkpoint: this rank's slots of both rings, oldest first (kept, D),
 * zeros where nothing is held, on the host; and how many of the whole memory's newest slots are
 * valid. */
void memory_restore_row(Device *device, LayerMemory *memory, int row, const Real *recent,
                        const Real *compressed, int valid_recent, int valid_compressed);

/* Slots of x (B,S,D) older than the newest held[b] become zeros. */
void memory_clear_unheld(Device *device, Tensor x, const int *held);

/* Positions `range` of the T oldest of [recent ; a] to evicted (B, range.count, D); recent (B,M,D),
 * a (B,T,D), or anything of the same slots, e.g. their keys. */
void memory_evicted(Device *device, Tensor evicted, Tensor recent, Tensor a, Range range);

/* How many of the newest evicted slots of this row of the mark are valid, and of those made from
 * them. */
int memory_valid_evicted(const LayerMemory *memory, const MemoryMark *mark, int row);
int memory_valid_fresh(const LayerMemory *memory, const MemoryMark *mark, int row);

/* Rows of the mark with push[row] move on: this rank's positions of a (B,T/P,D) and fresh slots
 * (B,T/(cP),D; nobody looks at them when N = 0) enter. */
void memory_push(Device *device, LayerMemory *memory, const MemoryMark *mark, Tensor a,
                 Tensor fresh, const bool *push);

#endif
