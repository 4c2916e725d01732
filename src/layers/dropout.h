/* SPDX-License-Identifier: Apache-2.0
 *
 * Dropout whose masks are a pure function of (seed, purpose, window, layer, global row, element):
 * nothing is stored, and no mask depends on the process grid. Backward is the same call on the
 * gradient.
 */
#ifndef PAL_LAYERS_DROPOUT_H
#define PAL_LAYERS_DROPOUT_H

#include "src/layers/window.h"
#include "src/tensor/device.h"

typedef enum DropoutPurpose {
    DROPOUT_EMBEDDING,
    DROPOUT_ATTENTION_WEIGHTS,
    DROPOUT_ATTENTION_OUTPUT,
    DROPOUT_FEED_FORWARD_INNER,
    DROPOUT_FEED_FORWARD_OUTPUT
} DropoutPurpose;

/* The stream of one purpose in one layer (0 outside the layers) at this window. */
RandomStream dropout_stream(const Window *window, DropoutPurpose purpose, int layer);

/* In place; nothing happens at rate 0. x (B,n,m), which stands at `place` in the whole. */
void dropout_apply(Device *device, Tensor x, const Window *window, DropoutPurpose purpose,
                   int layer, DropoutPlace place, double rate);

#endif
