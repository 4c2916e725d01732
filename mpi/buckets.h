/* SPDX-License-Identifier: Apache-2.0
 *
 * ZeRO-1 (Rajbhandari et al. 2020): the optimiser's state is divided over the data group. A flat
 * buffer of parameters is cut into buckets, and each bucket into one piece a rank, whatever tensors
 * these edges cut through. Gradients leave bucket by bucket as backward finishes them, summed to
 * the rank that owns the piece; it updates its pieces of the weights, which then return to all.
 *
 *     flat     | bucket 0  | bucket 1  | ...
 *     owners   | 0 | 1 | 2 | 0 | 1 | 2 |
 *
 * A rank's pieces lie one after the other in its own buffers ("owned"), so what is kept beside them
 * (moments) takes 1 / ranks of the whole. In a group of one, owned is the flat buffer itself.
 */
#ifndef PAL_MPI_BUCKETS_H
#define PAL_MPI_BUCKETS_H

#include "mpi/collectives.h"
#include "mpi/partition.h"
#include "src/tensor/arena.h"

typedef struct Bucket {
    Range flat;           /* of the flat buffer */
    Range piece;          /* this rank's, of the flat buffer */
    int64_t owned;        /* where it begins in this rank's owned buffers */
    int *counts, *firsts; /* (ranks) of every rank's piece, from the bucket's beginning */
} Bucket;

typedef struct Buckets {
    const Group *group; /* the data group, borrowed */
    int count;
    Bucket *list;    /* (count), in flat order */
    int64_t owned;   /* numbers of this rank's pieces together */
    Transfer *lanes; /* (num_lanes) bucket i goes through lane i % num_lanes */
    int num_lanes;   /* one for each bucket, or as many as get room in host memory (staging.h) */
} Buckets;

/* Local. Cuts [0, total) at multiples of `alignment` numbers into buckets of about `size`, none
 * across one of the edges (ascending, multiples of the alignment). Lists come from the arena, and
 * room for what is under way. */
void buckets_create(Buckets *buckets, const Group *group, Arena *arena, int64_t total,
                    const int64_t *edges, int num_edges, int64_t size, int alignment);

/* Collective over the group, the same buckets in the same order on every rank. Begins the sums of
 * all buckets within [first, end) of the flat buffer, highest first, and lets those begun before go
 * on. owned (owned numbers) receives this rank's pieces; it is not touched in a group of one. */
void buckets_reduce_begin(Buckets *buckets, const Real *flat, Real *owned, int64_t first,
                          int64_t end);
/* Collective over the group: owned pieces to everyone's flat buffer. */
void buckets_gather_begin(Buckets *buckets, Real *flat);

/* Local. Waits for all that was begun. */
void buckets_wait(Buckets *buckets);

#endif
