/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of one layer in training: queries of a window over compressed memory, memory and the
 * window itself, all memories full. Operations are those of visible pairs of a query and a slot,
 *
 *     P = 2 D rows (T (N + M) + T (T + 1) / 2)        one product of all heads
 *
 *     forward               content, positions, values                                      3 P
 *     backward, queries     the logits' two and do v^T again; ds K, ds R                    5 P
 *     backward, keys        the same three; p^T do, ds^T Q                                  5 P
 *     backward, positions   the same three; ds^T Q                                          4 P
 *     backward              each of its products once, as if nothing had to be made again   8 P
 *
 * and bytes those of each tensor once; what is added to is read and written.
 */
#include <math.h>

#include "tests/gpu/stage.h"

enum { COMPRESSED, MEMORY, WINDOW, SOURCES };

/* --- what they do ----------------------------------------------------------------------------- */

/* Numbers in the tensors of attention_types.h. */
static double of_queries(const Sizes *s) { return (double)s->rows * s->window * s->width; }
static double of_lines(const Sizes *s) { return (double)s->rows * s->heads * s->window; }
static double of_keys(const Sizes *s)
{
    return (double)s->rows * (s->compressed + s->memory + s->window) * s->width;
}
static double of_tables(const Sizes *s)
{
    return (double)(s->compressed - 1 + s->window + s->memory + s->window) * s->width;
}

static double product(const Sizes *s)
{
    double window = s->window, seen = window * (s->compressed + s->memory);
    return 2.0 * s->width * s->rows * (seen + window * (window + 1) / 2);
}

static Work forward_work(const Sizes *s)
{
    double operands = 2 * of_queries(s) + 2 * of_keys(s) + of_tables(s);
    return (Work){operand_bytes(s, operands) + bytes_of(of_lines(s)), 3 * product(s)};
}

/* Bytes that all of backward reads: q, o, dout, k, v, tables, lse. */
static double read_by_backward(const Sizes *s)
{
    return operand_bytes(s, 3 * of_queries(s) + 2 * of_keys(s) + of_tables(s)) +
           bytes_of(of_lines(s));
}

static Work queries_work(const Sizes *s)
{
    return (Work){read_by_backward(s) + operand_bytes(s, 2 * of_queries(s)), 5 * product(s)};
}

static Work keys_work(const Sizes *s)
{
    return (Work){read_by_backward(s) + operand_bytes(s, 4 * of_keys(s)), 5 * product(s)};
}

static Work positions_work(const Sizes *s)
{
    return (Work){read_by_backward(s) + bytes_of(2 * of_tables(s)), 4 * product(s)};
}

static Work backward_work(const Sizes *s)
{
    double added = operand_bytes(s, 2 * (of_queries(s) + 2 * of_keys(s)));
    return (Work){read_by_backward(s) + added + bytes_of(2 * of_tables(s)), 8 * product(s)};
}

/* Of the memory's slots: two products for each pair, no values. */
static Work usage_work(const Sizes *s)
{
    double keys = (double)s->rows * s->memory * s->width, pairs = (double)s->window * s->memory;
    double table = (double)(s->memory + s->window) * s->width;
    return (Work){operand_bytes(s, of_queries(s) + keys + table) +
                      bytes_of(of_lines(s) + (double)s->rows * s->memory),
                  4.0 * s->width * s->rows * pairs};
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* Memory and window share a table of positions, compressed memory has its own. */
static void prepare(Stage *stage)
{
    const Sizes *s = stage->sizes;
    int slots[SOURCES] = {s->compressed, s->memory, s->window};
    int64_t head_size = s->width / s->heads;
    stage->queries = (AttentionQueries){.q = stage_operand_3d(stage, s->rows, s->window, s->width),
                                        .content_bias = stage_2d(stage, s->heads, head_size),
                                        .heads = s->heads,
                                        .scale = 1 / sqrt((double)head_size),
                                        .dq = stage_operand_3d(stage, s->rows, s->window, s->width),
                                        .dcontent_bias = stage_2d(stage, s->heads, head_size)};
    for (int i = 0; i < SOURCES; i++) {
        AttentionSource *source = &stage->sources[i];
        *source = (AttentionSource){.k = stage_operand_3d(stage, s->rows, slots[i], s->width),
                                    .v = stage_operand_3d(stage, s->rows, slots[i], s->width),
                                    .row_stride = 1,
                                    .causal = i == WINDOW,
                                    .dk = stage_operand_3d(stage, s->rows, slots[i], s->width),
                                    .dv = stage_operand_3d(stage, s->rows, slots[i], s->width)};
        if (i != WINDOW) {
            int64_t before = i == COMPRESSED ? slots[i] - 1 : slots[i];
            source->row_offset = before;
            source->r = stage_operand_2d(stage, before + s->window, s->width);
            source->dr = stage_2d(stage, before + s->window, s->width);
            source->position_bias = stage_2d(stage, s->heads, head_size);
            source->dposition_bias = stage_2d(stage, s->heads, head_size);
        } else {
            const AttentionSource *memory = &stage->sources[MEMORY];
            source->r = memory->r;
            source->dr = memory->dr;
            source->position_bias = memory->position_bias;
            source->dposition_bias = memory->dposition_bias;
        }
    }
    stage->o = stage_operand_3d(stage, s->rows, s->window, s->width);
    stage->dout = stage_operand_3d(stage, s->rows, s->window, s->width);
    stage->lse = stage_3d(stage, s->rows, s->heads, s->window);
    stage->usage = stage_2d(stage, s->rows, s->memory);
    if (stage->full) return;
    stage->full = stage->device->op->reserve_attention(stage->device, &stage->queries,
                                                       stage->sources, SOURCES) != PAL_OK;
}

/* --- calls ------------------------------------------------------------------------------------ */

static void forward(Stage *stage)
{
    stage->device->op->attention_forward(stage->device, stage->o, stage->lse, &stage->queries,
                                         stage->sources, SOURCES);
}

/* With only those gradients asked for that one of its kernels gives; each call also makes the sums
 * of do * o. */
static void backward_for(Stage *stage, bool of_queries_too, bool of_keys_too, bool of_tables_too)
{
    AttentionQueries queries = stage->queries;
    AttentionSource sources[SOURCES];
    if (!of_queries_too) queries.dq = queries.dcontent_bias = tensor_none;
    for (int i = 0; i < SOURCES; i++) {
        sources[i] = stage->sources[i];
        if (!of_queries_too) sources[i].dposition_bias = tensor_none;
        if (!of_keys_too) sources[i].dk = sources[i].dv = tensor_none;
        if (!of_tables_too) sources[i].dr = tensor_none;
    }
    stage->device->op->attention_backward(stage->device, &queries, sources, SOURCES, stage->o,
                                          stage->lse, stage->dout);
}

static void backward(Stage *stage) { backward_for(stage, true, true, true); }
static void backward_queries(Stage *stage) { backward_for(stage, true, false, false); }
static void backward_keys(Stage *stage) { backward_for(stage, false, true, false); }
static void backward_positions(Stage *stage) { backward_for(stage, false, false, true); }

static void usage(Stage *stage)
{
    stage->device->op->attention_usage(stage->device, stage->usage, &stage->queries,
                                       &stage->sources[MEMORY], stage->lse);
}

/* Forward first: it leaves the lse that the others need. */
static const Kernel kernels[] = {
    {"attention forward", forward_work, forward, true},
    {"attention backward", backward_work, backward, false},
    {"attention backward, queries", queries_work, backward_queries, false},
    {"attention backward, keys", keys_work, backward_keys, false},
    {"attention backward, positions", positions_work, backward_positions, false},
    {"attention usage", usage_work, usage, true},
};

const KernelGroup attention_kernels = {prepare, kernels, sizeof kernels / sizeof *kernels};
