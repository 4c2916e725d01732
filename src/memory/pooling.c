/* SPDX-License-Identifier: Apache-2.0
 *
 * Mean and max over each group of c slots, per channel.
 */
#include "src/memory/compression.h"

void pool_mean_compress(Device *device, const Compressor *compressor, Tensor evicted)
{
    device->op->pool_mean(device, compressor->work->fresh, evicted);
}

void pool_max_compress(Device *device, const Compressor *compressor, Tensor evicted)
{
    device->op->pool_max(device, compressor->work->fresh, evicted);
}
