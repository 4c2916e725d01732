/* SPDX-License-Identifier: Apache-2.0
 *
 * Auto-encoding (Rae et al. 2019, section 3.2): a linear decoder G (D, cD) of its own rebuilds each
 * group of c evicted slots from the slot that it was compressed to,
 *
 *     mean over valid groups of (evicted - fresh G)^2.
 */
#include "src/layers/linear.h"
#include "src/memory/compression_loss.h"

/* A group counts when its slots are valid and none of them is padding: of a partial window (which
 * M < T can evict at once), or of a row that has no tokens at all. */
static double mark_groups(CompressionLossWorkspace *work, const CompressionLossInput *input)
{
    const LayerMemory *memory = input->memory;
    Range own = input->compressor->work->makes;
    int64_t rate = memory->rate, groups = memory->window / rate;
    double counted = 0.0;
    for (int b = 0; b < input->mark->rows; b++) {
        int64_t valid = memory_valid_fresh(memory, input->mark, b);
        int64_t counted_tokens = input->window->counted[b];
        int64_t present = counted_tokens > 0 ? memory_slots(memory) + counted_tokens : 0;
        for (int64_t i = 0; i < own.count; i++) {
            int64_t g = own.first + i;
            bool counts = g >= groups - valid && (g + 1) * rate <= present;
            work->mask[b * own.count + i] = counts;
            counted += counts;
        }
    }
    return counted;
}

/* The evicted slots that this rank's fresh ones stand for: the last ones of what f_c read, or,
 * where it reads the whole block, those in between. */
static Tensor own_evicted(Device *device, CompressionLossWorkspace *work,
                          const CompressionWorkspace *compression, int rate)
{
    int64_t first = compression->makes.first * rate - compression->reads.first;
    int64_t count = compression->makes.count * rate;
    Tensor evicted = compression->evicted;
    int64_t width = evicted.dims[2], read = evicted.dims[1];
    if (count == read) return evicted;
    Tensor own = tensor_part_3d(work->target, 0, evicted.dims[0], count, width);
    device->op->copy_blocks(device, own, count * width, tensor_from(evicted, first * width),
                            read * width, own.dims[0], count * width);
    return own;
}

void autoencoding(Device *device, CompressionLossWorkspace *work, const CompressionLossInput *input,
                  LossSum *loss)
{
    CompressionWorkspace *compression = input->compressor->work;
    Tensor fresh = tensor_as_matrix(compression->fresh);
    int64_t groups = fresh.dims[0], group = input->decoder.value.dims[1];
    Tensor rebuilt = tensor_reshape_2d(work->prediction, groups, group);
    Tensor own = own_evicted(device, work, compression, input->memory->rate);
    Tensor evicted = tensor_reshape_2d(own, groups, group);
    double counted = mark_groups(work, input);

    linear_forward(device, rebuilt, fresh, input->decoder, weight_none);
    loss->sum += device->op->squared_error(device, rebuilt, rebuilt, evicted, work->mask);
    loss->count += counted * (double)group;
    if (!input->gradient) return;

    device->op->fill(device, compression->dfresh, 0.0);
    linear_backward(device, compression->dfresh, rebuilt, fresh, input->decoder, weight_none);
}
