/* SPDX-License-Identifier: Apache-2.0
 *
 * Auto-encoding (Rae et al. 2019, section 3.2): a linear decoder G (D, cD) of its own rebuilds each
 * group of c evicted slots from the slot that it was compressed to,
 *
 *     mean over valid groups of (evicted - fresh G)^2.
 */
#include "src/layers/linear.h"
#include "src/memory/compression_loss.h"

/* A group counts when its slots are valid and none of them is padding of a partial window (which
 * M < T can evict at once). */
static double mark_groups(CompressionLossWorkspace *work, const CompressionLossInput *input)
{
    const LayerMemory *memory = input->memory;
    int rate = memory->rate, groups = memory->window / rate;
    double counted = 0.0;
    for (int b = 0; b < memory->rows; b++) {
        int valid = memory_valid_fresh(memory, b);
        int present = memory->slots + input->window->counted[b];
        for (int g = 0; g < groups; g++) {
            bool counts = g >= groups - valid && (g + 1) * rate <= present;
            work->mask[(int64_t)b * groups + g] = counts;
            counted += counts;
        }
    }
    return counted;
}

void autoencoding(Device *device, CompressionLossWorkspace *work, const CompressionLossInput *input,
                  LossSum *loss)
{
    CompressionWorkspace *compression = input->compressor->work;
    Tensor fresh = tensor_as_matrix(compression->fresh);
    int64_t groups = fresh.dims[0], group = input->decoder.value.dims[1];
    Tensor rebuilt = tensor_reshape_2d(work->prediction, groups, group);
    Tensor evicted = tensor_reshape_2d(compression->evicted, groups, group);
    double counted = mark_groups(work, input);

    linear_forward(device, rebuilt, fresh, input->decoder, weight_none);
    loss->sum += device->op->squared_error(device, rebuilt, rebuilt, evicted, work->mask);
    loss->count += counted * (double)group;

    device->op->fill(device, compression->dfresh, 0.0);
    linear_backward(device, compression->dfresh, rebuilt, fresh, input->decoder, weight_none);
}
