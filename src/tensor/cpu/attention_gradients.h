/* SPDX-License-Identifier: Apache-2.0
 *
 * What one tile adds to the gradients: the weights once more from lse, then the products of
 * attention.h, all with the kernel of attention_tiles.h.
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_GRADIENTS_H
#define PAL_TENSOR_CPU_ATTENTION_GRADIENTS_H

#include <stdbool.h>

#include "src/tensor/cpu/attention_scores.h"

/* Adds to scratch->dquery_content and dquery_position, and to sums->dk, dv and dr of the source.
 * The columns beside scratch->dscores must be zero. */
void attention_tile_gradients(AttentionScratch *scratch, const AttentionCall *call,
                              int source_number, const AttentionWork *work,
                              const AttentionTile *tile, const Real *lse /* of row and head */,
                              const AttentionSums *sums);

#endif
