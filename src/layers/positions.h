/* SPDX-License-Identifier: Apache-2.0
 *
 * Relative positions: which distance stands between a query and a slot, and tables of sinusoids.
 *
 *     sinusoid(p) = [sin(p f_0) .. sin(p f_{D/2-1}), cos(p f_0) .. cos(p f_{D/2-1})],
 *     f_k = 10000^(-2k/D)
 *
 * Memory and window share one axis: window slot j is i - j away from query i, memory slot j M - j +
 * i. Row p of their table is distance p, p < M + T. The compressed memory has a table of its own in
 * every scheme; query i and slot j meet in row stride (N-1) + i - stride j, which stands for
 *
 *     separate    N - j + i                        its own axis, its own weights
 *     contiguous  N + M - j + i                    one axis, counted in slots
 *     temporal    M + c(N - j) - (c-1)/2 + i       one axis, in tokens: the slot's centre
 */
#ifndef PAL_LAYERS_POSITIONS_H
#define PAL_LAYERS_POSITIONS_H

#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/model_options.h"

/* Rows of consecutive distances first, first + 1, ... */
typedef struct PositionAxis {
    double first_distance;
    int64_t rows;
    int stride; /* of one slot, in rows */
} PositionAxis;

/* The axis of memory and window of a layer with M slots. */
PositionAxis positions_recent(const ModelOptions *options, int layer);

/* The axis of the compressed memory; rows = 0 where the layer has none. */
PositionAxis positions_compressed(const ModelOptions *options, int layer);

/* Tables that layers share where their axes are equal. */
typedef struct PositionTables {
    int count;
    struct PositionTable {
        PositionAxis axis;
        Tensor sinusoids; /* (rows, D) */
    } tables[2 * PAL_MAX_LAYERS];
} PositionTables;

/* The table of this axis; made (taken from the arena) when no layer had it before. */
Tensor positions_table(PositionTables *tables, Arena *arena, PositionAxis axis, NumberType type,
                       int width);

/* Writes the sinusoids of all tables, once, after the arena was sealed. */
void positions_fill(PositionTables *tables, Device *device);

#endif
