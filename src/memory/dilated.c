/* SPDX-License-Identifier: Apache-2.0
 *
 * Dilated causal convolutions, then the strided one of conv.c:
 *
 *     for each rate:  x_t <- relu(x_{t-rate} A_0 + x_t A_1),  zeros before the block
 *
 * The weight is (2D, D) with A_0 first, so with the pair [x_{t-rate}, x_t] as one row this is one
 * product.
 */
#include "src/layers/linear.h"
#include "src/memory/compression.h"

static Tensor last_stage(const Compressor *compressor, Tensor evicted)
{
    int count = compressor->num_dilations;
    return count > 0 ? compressor->work->stages[count - 1] : evicted;
}

/* The last slots of each row of x, as many as y has; or (back) y into them. */
static void copy_tail(Device *device, Tensor y, Tensor x, bool back)
{
    int64_t block = y.dims[1] * y.dims[2], row = x.dims[1] * x.dims[2];
    Tensor tail = tensor_part_1d(x, row - block, block);
    device->op->copy_blocks(device, back ? tail : y, back ? row : block, back ? y : tail,
                            back ? block : row, y.dims[0], block);
}

/* The slots of x that become fresh ones: those before them only lead up to them. */
static Tensor tail_of(Device *device, const CompressionWorkspace *work, Tensor x)
{
    if (!tensor_exists(work->tail)) return x;
    copy_tail(device, work->tail, x, false);
    return work->tail;
}

void dilated_compress(Device *device, const Compressor *compressor, Tensor evicted)
{
    CompressionWorkspace *work = compressor->work;
    Tensor x = evicted;
    for (int i = 0; i < compressor->num_dilations; i++) {
        device->op->pair_with_earlier(device, work->pairs[i], x, compressor->dilations[i]);
        linear_relu_forward(device, work->stages[i], work->pairs[i], compressor->dilated[i],
                            weight_none);
        x = work->stages[i];
    }
    conv_compress(device, compressor, tail_of(device, work, x));
}

void dilated_compress_backward(Device *device, const Compressor *compressor, Tensor evicted)
{
    CompressionWorkspace *work = compressor->work;
    conv_compress_backward(device, compressor,
                           tail_of(device, work, last_stage(compressor, evicted)));
    if (compressor->num_dilations == 0) return;

    /* fresh = groups(x) W, so dx = groups' rows of dfresh W^T */
    Weight conv = compressor->conv;
    int64_t group = conv.value.dims[0];
    bool all = !tensor_exists(work->tail);
    Tensor dtail = all ? work->dstage : work->dtail;
    device->op->fill(device, dtail, 0.0);
    linear_backward_input(device, tensor_reshape_2d(dtail, tensor_count(dtail) / group, group),
                          work->dfresh, conv);
    if (!all) {
        device->op->fill(device, work->dstage, 0.0);
        copy_tail(device, dtail, work->dstage, true);
    }

    for (int i = compressor->num_dilations - 1; i >= 0; i--) {
        /* stage = relu(pairs A) */
        device->op->relu_backward(device, work->dstage, work->stages[i]);
        Tensor dpairs = i > 0 ? work->dpairs : tensor_none;
        if (i > 0) device->op->fill(device, dpairs, 0.0);
        linear_backward(device, dpairs, work->dstage, work->pairs[i], compressor->dilated[i],
                        weight_none);
        if (i == 0) break;
        device->op->fill(device, work->dstage, 0.0);
        device->op->pair_with_earlier_backward(device, work->dstage, dpairs,
                                               compressor->dilations[i]);
    }
}
