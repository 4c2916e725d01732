/* SPDX-License-Identifier: Apache-2.0
 *
 * The matrix products of a layer and of the output, in their three forms: forward, for the gradient
 * of the input, and added into the gradient of the weights.
 */
#include "tests/gpu/stage.h"

/* --- what they do ----------------------------------------------------------------------------- */

/* (m,k) times (k,n): without what happens to the result. */
static Work product(const Sizes *s, double m, double n, double k)
{
    return (Work){operand_bytes(s, m * k + k * n), 2 * m * n * k};
}

/* To an operand. */
static Work forward(const Sizes *s, double m, double n, double k)
{
    Work work = product(s, m, n, k);
    work.bytes += operand_bytes(s, m * n);
    return work;
}

/* Into a float32 gradient, which is read and written. */
static Work added(const Sizes *s, double m, double n, double k)
{
    Work work = product(s, m, n, k);
    work.bytes += bytes_of(2 * m * n);
    return work;
}

static double tokens(const Sizes *s) { return (double)s->rows * s->window; }
static Work projection_work(const Sizes *s) { return forward(s, tokens(s), s->width, s->width); }
static Work dinput_work(const Sizes *s) { return added(s, tokens(s), s->width, s->width); }
static Work dweight_work(const Sizes *s) { return added(s, s->width, s->width, tokens(s)); }
static Work up_work(const Sizes *s) { return forward(s, tokens(s), s->feed_forward, s->width); }
static Work down_work(const Sizes *s)
{
    Work work = product(s, tokens(s), s->width, s->feed_forward);
    work.bytes += bytes_of(tokens(s) * s->width);
    return work;
}
static Work dup_work(const Sizes *s) { return added(s, s->width, s->feed_forward, tokens(s)); }
static Work logits_work(const Sizes *s)
{
    Work work = product(s, tokens(s), s->vocabulary, s->width);
    work.bytes += bytes_of(tokens(s) * s->vocabulary);
    return work;
}
static Work conv_work(const Sizes *s)
{
    return forward(s, tokens(s) / s->rate, s->width, (double)s->rate * s->width);
}

/* --- calls ------------------------------------------------------------------------------------ */

static void prepare(Stage *stage)
{
    const Sizes *s = stage->sizes;
    int64_t n = (int64_t)s->rows * s->window;
    stage->a = stage_operand_2d(stage, n, s->width);
    stage->b = stage_operand_2d(stage, n, s->width);
    stage->x = stage_2d(stage, n, s->width);
    stage->hidden = stage_operand_2d(stage, n, s->feed_forward);
    stage->logits = stage_2d(stage, n, s->vocabulary);
    stage->square = stage_operand_2d(stage, s->width, s->width);
    stage->dsquare = stage_2d(stage, s->width, s->width);
    stage->up = stage_operand_2d(stage, s->width, s->feed_forward);
    stage->dup = stage_2d(stage, s->width, s->feed_forward);
    stage->down = stage_operand_2d(stage, s->feed_forward, s->width);
    stage->bias = stage_operand_1d(stage, s->feed_forward);
    stage->table = stage_operand_2d(stage, s->vocabulary, s->width);
    stage->conv = stage_operand_2d(stage, (int64_t)s->rate * s->width, s->width);
    stage->pooled = stage_operand_2d(stage, n / s->rate, s->width);
    if (!stage->full)
        stage->folded = tensor_reshape_2d(stage->a, n / s->rate, (int64_t)s->rate * s->width);
}

static void multiply(Stage *stage, Tensor c, Tensor a, Tensor b, MatmulOptions options)
{
    stage->device->op->matmul(stage->device, c, a, b, options);
}

static void projection(Stage *stage)
{
    multiply(stage, stage->b, stage->a, stage->square, (MatmulOptions){0});
}

static void dinput(Stage *stage)
{
    multiply(stage, stage->x, stage->a, stage->square,
             (MatmulOptions){.transpose_b = true, .accumulate = true});
}

static void dweight(Stage *stage)
{
    multiply(stage, stage->dsquare, stage->a, stage->b,
             (MatmulOptions){.transpose_a = true, .accumulate = true});
}

static void up(Stage *stage)
{
    multiply(stage, stage->hidden, stage->a, stage->up,
             (MatmulOptions){.bias = stage->bias, .relu = true});
}

static void down(Stage *stage)
{
    multiply(stage, stage->x, stage->hidden, stage->down, (MatmulOptions){0});
}

static void dup(Stage *stage)
{
    multiply(stage, stage->dup, stage->a, stage->hidden,
             (MatmulOptions){.transpose_a = true, .accumulate = true});
}

static void logits(Stage *stage)
{
    multiply(stage, stage->logits, stage->a, stage->table, (MatmulOptions){.transpose_b = true});
}

static void conv(Stage *stage)
{
    multiply(stage, stage->pooled, stage->folded, stage->conv, (MatmulOptions){0});
}

static const Kernel kernels[] = {
    {"product, projection", projection_work, projection, true},
    {"product, projection, input's gradient", dinput_work, dinput, true},
    {"product, projection, weight's gradient", dweight_work, dweight, true},
    {"product, feed-forward up, bias, relu", up_work, up, true},
    {"product, feed-forward down", down_work, down, true},
    {"product, feed-forward, weight's gradient", dup_work, dup, true},
    {"product, logits", logits_work, logits, true},
    {"product, compression by convolution", conv_work, conv, true},
};

const KernelGroup product_kernels = {prepare, kernels, sizeof kernels / sizeof *kernels};
