/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to the memory of a layer after a window (Rae et al. 2019, Algorithm 1, lines 7 to
 * 12).
 */
#ifndef PAL_MODEL_REMEMBER_H
#define PAL_MODEL_REMEMBER_H

#include "src/model/model.h"

/* Collective over the tensor group. After layer l's forward in the flight of this number; view:
 * what its attention saw. */
void remember_layer(Model *model, int number, int l, MemoryView view);

#endif
