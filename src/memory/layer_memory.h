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
 * Slots are ordered oldest first; valid slots are always the newest ones.
 */
#ifndef PAL_MEMORY_LAYER_MEMORY_H
#define PAL_MEMORY_LAYER_MEMORY_H

#include <stdbool.h>

#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/model_options.h"

typedef struct LayerMemory {
    int rows, window, rate;      /* B, T, c */
    int slots, compressed_slots; /* M, N */
    EmptyMemory empty;
    Tensor recent, compressed;            /* (B,M,D), (B,N,D) */
    int *valid_recent, *valid_compressed; /* (B): newest slots that queries may see */
} LayerMemory;

/* Starts empty in every row. */
void memory_create(LayerMemory *memory, Arena *arena, const ModelOptions *options, int layer,
                   int rows);

/* Row `row` starts a new document: zeroed slots; valid counts 0, or, with empty_memory = zeros,
 * all. */
void memory_empty_row(Device *device, LayerMemory *memory, int row);

/* evicted (B,T,D): the T oldest of [recent ; a]; the same selection from any pair of tensors
 * (B,M,D), (B,T,D), so keys and values of evicted slots are found with it too. */
void memory_evicted(Device *device, const LayerMemory *memory, Tensor evicted, Tensor recent,
                    Tensor a);

/* How many of the newest evicted slots of this row are valid, and of those made from them. */
int memory_valid_evicted(const LayerMemory *memory, int row);
int memory_valid_fresh(const LayerMemory *memory, int row);

/* Pushes a and the freshly compressed slots (B,T/c,D; none when N = 0) of every row with
 * push[row], and moves the valid counts on. */
void memory_push(Device *device, LayerMemory *memory, Tensor a, Tensor fresh, const bool *push);

#endif
