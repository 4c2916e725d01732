/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything but attention and products: no operations are counted, memory alone bounds them. Bytes
 * are those of each tensor once, and twice where it is changed in place or added to. A model makes
 * its logits in pieces; here they are whole, so that no cache holds them.
 */
#include <stdlib.h>

#include "src/base/fatal.h"
#include "tests/gpu/stage.h"

/* --- what they do ----------------------------------------------------------------------------- */

static Work moves(double numbers) { return (Work){bytes_of(numbers), 0}; }
static Work moves_operands(const Sizes *s, double numbers)
{
    return (Work){operand_bytes(s, numbers), 0};
}

static double tokens(const Sizes *s) { return (double)s->rows * s->window; }
static double narrow(const Sizes *s) { return tokens(s) * s->width; }
static double wide(const Sizes *s) { return tokens(s) * s->feed_forward; }
/* Rows of the table of embeddings that tokens drawn in turn touch. */
static double table(const Sizes *s)
{
    return (tokens(s) < s->vocabulary ? tokens(s) : s->vocabulary) * s->width;
}

/* From float32 to operands. */
static Work narrow_to_operand(const Sizes *s)
{
    return (Work){bytes_of(narrow(s)) + operand_bytes(s, narrow(s)), 0};
}
static Work two_narrow(const Sizes *s) { return moves(2 * narrow(s)); }
static Work three_narrow(const Sizes *s) { return moves(3 * narrow(s)); }
static Work four_narrow(const Sizes *s) { return moves(4 * narrow(s)); }
static Work two_operands(const Sizes *s) { return moves_operands(s, 2 * narrow(s)); }
static Work three_operands(const Sizes *s) { return moves_operands(s, 3 * narrow(s)); }
static Work one_wide(const Sizes *s) { return moves_operands(s, wide(s)); }
static Work two_wide(const Sizes *s) { return moves_operands(s, 2 * wide(s)); }
static Work three_wide(const Sizes *s) { return moves_operands(s, 3 * wide(s)); }
static Work pool_work(const Sizes *s) { return moves_operands(s, narrow(s) * (1 + 1.0 / s->rate)); }
static Work embedding_work(const Sizes *s) { return moves(narrow(s) + table(s)); }
static Work dembedding_work(const Sizes *s) { return moves(narrow(s) + 2 * table(s)); }
static Work cross_entropy_work(const Sizes *s) { return moves(2 * tokens(s) * s->vocabulary); }

static Work adam_work(const Sizes *s) { return moves(7 * (double)s->weights); }
static Work norm_work(const Sizes *s) { return moves((double)s->weights); }

/* --- layers ----------------------------------------------------------------------------------- */

static void prepare(Stage *stage)
{
    const Sizes *s = stage->sizes;
    int64_t n = (int64_t)s->rows * s->window;
    stage->x = stage_3d(stage, s->rows, s->window, s->width);
    stage->dx = stage_3d(stage, s->rows, s->window, s->width);
    stage->a = stage_operand_3d(stage, s->rows, s->window, s->width);
    stage->b = stage_operand_3d(stage, s->rows, s->window, s->width);
    stage->dy = stage_3d(stage, s->rows, s->window, s->width);
    stage->hidden = stage_operand_2d(stage, n, s->feed_forward);
    stage->dhidden = stage_operand_2d(stage, n, s->feed_forward);
    stage->logits = stage_2d(stage, n, s->vocabulary);
    stage->table = stage_2d(stage, s->vocabulary, s->width);
    stage->pooled = stage_operand_3d(stage, s->rows, s->window / s->rate, s->width);
    stage->nats = stage_1d(stage, n);
    stage->mean = stage_1d(stage, n);
    stage->rstd = stage_1d(stage, n);
    stage->scale = stage_1d(stage, s->width);
    stage->shift = stage_1d(stage, s->width);
    stage->bias = stage_1d(stage, s->feed_forward);
    stage->tokens = malloc((size_t)n * sizeof *stage->tokens);
    stage->mask = malloc((size_t)n * sizeof *stage->mask);
    if (stage->tokens == NULL || stage->mask == NULL)
        fatal(PAL_ERROR_UNAVAILABLE, "no memory for %lld tokens", (long long)n);
    for (int64_t i = 0; i < n; i++) stage->tokens[i] = (int32_t)(i * 7 % s->vocabulary);
    for (int64_t i = 0; i < n; i++) stage->mask[i] = true;
}

/* Body of a call of one operation of the device. */
#define CALL(name, operation, ...) \
    static void name(Stage *stage) { stage->device->op->operation(stage->device, __VA_ARGS__); }

CALL(norm_forward, layer_norm_forward, stage->a, stage->mean, stage->rstd, stage->x, stage->scale,
     stage->shift)
/* Gradients of scale and shift go into the first numbers of the bias, which is wider. */
static void norm_backward(Stage *stage)
{
    Tensor dscale = tensor_slice(stage->bias, 0, stage->sizes->width);
    stage->device->op->layer_norm_backward(stage->device, stage->dx, dscale, stage->shift,
                                           stage->mean, stage->rstd, stage->dy, stage->x,
                                           stage->scale);
}
CALL(cross_entropy, cross_entropy, stage->nats, stage->logits, stage->tokens, true)
CALL(embedding_forward, embedding_forward, stage->dx, stage->table, stage->tokens, 0, 1.0)
CALL(embedding_backward, embedding_backward, stage->table, stage->dy, stage->tokens, 0, 1.0)
CALL(relu_backward, relu_backward, stage->dhidden, stage->hidden)
CALL(gelu_forward, gelu_forward, stage->dhidden, stage->hidden)
CALL(gelu_backward, gelu_backward, stage->dhidden, stage->hidden)
static void dropout(Stage *stage)
{
    DropoutPlace place = {.channels = stage->sizes->width};
    stage->device->op->dropout(stage->device, stage->a, random_stream(1, "dropout"), place, 0.1);
}
CALL(fill, fill, stage->dhidden, 0.0)
CALL(scale, scale, stage->dhidden, 1.0)
CALL(add, add, stage->dx, stage->x)
static void copy(Stage *stage) { device_copy(stage->device, stage->dx, stage->x); }
static void copy_to_operand(Stage *stage) { device_copy(stage->device, stage->a, stage->x); }
CALL(column_sums, add_column_sums, stage->bias, stage->hidden)
static void squared_error(Stage *stage)
{
    (void)stage->device->op->squared_error(stage->device, stage->b, stage->b, stage->a,
                                           stage->mask);
}
CALL(pool_mean, pool_mean, stage->pooled, stage->a)
CALL(pool_max, pool_max, stage->pooled, stage->a)

static const Kernel kernels[] = {
    {"layer norm forward", narrow_to_operand, norm_forward, false},
    {"layer norm backward", four_narrow, norm_backward, false},
    {"cross entropy with gradient", cross_entropy_work, cross_entropy, false},
    {"embedding forward", embedding_work, embedding_forward, false},
    {"embedding backward", dembedding_work, embedding_backward, false},
    {"relu backward", three_wide, relu_backward, false},
    {"gelu forward", two_wide, gelu_forward, false},
    {"gelu backward", three_wide, gelu_backward, false},
    {"dropout", two_operands, dropout, false},
    {"fill", one_wide, fill, false},
    {"scale", two_wide, scale, false},
    {"add", three_narrow, add, false},
    {"copy", two_narrow, copy, false},
    {"copy, rounded", narrow_to_operand, copy_to_operand, false},
    {"column sums", one_wide, column_sums, false},
    {"squared error with gradient", three_operands, squared_error, false},
    {"mean pooling", pool_work, pool_mean, false},
    {"max pooling", pool_work, pool_max, false},
};

const KernelGroup layer_kernels = {prepare, kernels, sizeof kernels / sizeof *kernels};

/* --- optimiser -------------------------------------------------------------------------------- */

static void prepare_optimiser(Stage *stage)
{
    int64_t count = stage->sizes->weights;
    stage->w = stage_1d(stage, count);
    stage->m = stage_1d(stage, count);
    stage->v = stage_1d(stage, count);
    stage->g = stage_1d(stage, count);
    if (!stage->full) stage->device->op->fill(stage->device, stage->v, 0.01);
}

static void adam(Stage *stage)
{
    AdamOptions options = {.learning_rate = 1e-4,
                           .beta1 = 0.9,
                           .beta2 = 0.999,
                           .epsilon = 1e-8,
                           .gradient_scale = 1.0,
                           .update = 100};
    stage->device->op->adam(stage->device, stage->w, stage->m, stage->v, stage->g, options);
}

static void sum_of_squares(Stage *stage)
{
    (void)stage->device->op->sum_of_squares(stage->device, stage->g);
}

static const Kernel of_optimiser[] = {
    {"adam", adam_work, adam, false},
    {"sum of squares", norm_work, sum_of_squares, false},
};

const KernelGroup optimiser_kernels = {prepare_optimiser, of_optimiser,
                                       sizeof of_optimiser / sizeof *of_optimiser};
