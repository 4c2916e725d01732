/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/dropout.h"

RandomStream dropout_stream(const Window *window, DropoutPurpose purpose, int layer)
{
    static const char *const names[] = {
        [DROPOUT_EMBEDDING] = "dropout/embedding",
        [DROPOUT_ATTENTION_WEIGHTS] = "dropout/attention_weights",
        [DROPOUT_ATTENTION_OUTPUT] = "dropout/attention_output",
        [DROPOUT_FEED_FORWARD_INNER] = "dropout/feed_forward_inner",
        [DROPOUT_FEED_FORWARD_OUTPUT] = "dropout/feed_forward_output",
    };
    return random_substream(random_stream(window->seed, names[purpose]), (uint64_t)window->index,
                            (uint64_t)layer);
}

void dropout_apply(Device *device, Tensor x, const Window *window, DropoutPurpose purpose,
                   int layer, DropoutPlace place, double rate)
{
    if (rate > 0.0)
        device->op->dropout(device, x, dropout_stream(window, purpose, layer), place, rate);
}
