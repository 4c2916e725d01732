/* SPDX-License-Identifier: Apache-2.0
 *
 * The residual stream of a tensor group is split along the window: rank p of P holds positions
 * [p T / P, (p + 1) T / P) of every row (Korthikanti et al. 2022, "sequence parallelism"). Before a
 * split product its input is gathered, after it its partial sums are added and scattered:
 *
 *     whole (B,T,D)  = sequence_gather (part (B,T/P,D))        the same on every rank
 *     part (B,T/P,D) = sequence_scatter(whole (B,T,D))         of the sum over the ranks
 *
 * Each is the other's backward. In a group of one, whole and part are the same tensor and nothing
 * happens. n slots instead of T positions are handled likewise.
 */
#ifndef PAL_LAYERS_PARALLEL_SEQUENCE_H
#define PAL_LAYERS_PARALLEL_SEQUENCE_H

#include "mpi/collectives.h"
#include "src/tensor/arena.h"
#include "src/tensor/device.h"

typedef struct Sequence {
    const Group *group; /* the tensor group, borrowed */
    Device *device;     /* borrowed */
    Tensor staging;     /* (B T D) numbers: parts of others; none in a group of one */
} Sequence;

/* Local. rows, length, width: B, T, D, the largest that will be gathered. */
void sequence_create(Sequence *sequence, const Group *group, Device *device, Arena *arena, int rows,
                     int length, int width);

/* The tensor that holds all positions: `part` itself in a group of one, else one of its own. */
Tensor sequence_whole(const Sequence *sequence, Arena *arena, Purpose purpose, Tensor part);

/* Collective over the tensor group. */
void sequence_gather(const Sequence *sequence, TrafficKind kind, Tensor whole, Tensor part);
void sequence_scatter(const Sequence *sequence, TrafficKind kind, Tensor part, Tensor whole);

#endif
