/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of one token at a time, for generation: the window's keys and values of the tokens so
 * far stay where attention_forward would have put them, and only the new token's are computed.
 *
 *     query i sees window slots 0 .. i, which are all there is: i + 1 slots without a mask
 *
 * Afterwards q, k, v, o and lse of the layer hold for positions 0 .. i what attention_forward
 * leaves there, so a window that was filled token by token can be remembered like any other,
 * without being computed again. One row only.
 */
#ifndef PAL_LAYERS_ATTENTION_STEP_H
#define PAL_LAYERS_ATTENTION_STEP_H

#include "src/layers/attention.h"

/* Position i of x (1,T,n), as (1,1,n). */
static inline Tensor window_position(Tensor x, int i)
{
    return tensor_part_3d(x, i * x.dims[2], 1, 1, x.dims[2]);
}

/* y (1,1,D) of the token at position i, whose a stands in the window source. `token`: a window of
 * this one token. lse (1,H,1): workspace. */
void attention_step(Device *device, AttentionLayer *layer, Tensor y, Tensor lse,
                    const AttentionInput *input, const Window *token, int i);

#endif
