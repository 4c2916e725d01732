/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/parameters.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"

static const double normal_deviation = 0.02;
enum { ALIGNMENT = 16, MAX_ROWS_PER_LAYER = 32, MAX_ROWS_OUTSIDE = 8 };

/* Appends one row: a matrix (columns > 0) or a vector. */
static void add(Parameters *p, ParameterGroup group, int layer, const char *name, int64_t rows,
                int64_t columns, Initializer initializer, bool decays)
{
    Parameter *row = &p->table[p->count++];
    *row = (Parameter){.num_dims = columns > 0 ? 2 : 1,
                       .dims = {rows, columns > 0 ? columns : 0},
                       .initializer = initializer,
                       .decays = decays,
                       .group = group,
                       .layer = layer};
    if (layer < 0)
        snprintf(row->name, sizeof row->name, "%s", name);
    else
        snprintf(row->name, sizeof row->name, "layers/%02d/%s", layer, name);
}

static void add_matrix(Parameters *p, int layer, const char *name, int64_t rows, int64_t columns)
{
    add(p, GROUP_MAIN, layer, name, rows, columns, INITIAL_NORMAL, true);
}

static void add_bias(Parameters *p, int layer, const char *name, int64_t size)
{
    add(p, GROUP_MAIN, layer, name, size, 0, INITIAL_ZERO, false);
}

static void add_head_bias(Parameters *p, int layer, const char *name, const ModelOptions *o)
{
    add(p, GROUP_MAIN, layer, name, o->heads, o->width / o->heads, INITIAL_ZERO, false);
}

static void add_norm(Parameters *p, int layer, const char *name, int64_t width)
{
    char full[48];
    snprintf(full, sizeof full, "%s/scale", name);
    add(p, GROUP_MAIN, layer, full, width, 0, INITIAL_ONE, false);
    snprintf(full, sizeof full, "%s/shift", name);
    add(p, GROUP_MAIN, layer, full, width, 0, INITIAL_ZERO, false);
}

static void add_layer(Parameters *p, const ModelOptions *o, int layer)
{
    int64_t width = o->width, feed_forward = o->feed_forward;
    bool own_axis = o->positions == POSITIONS_SEPARATE && o->compressed_memory[layer] > 0;

    add_matrix(p, layer, "attention/query", width, width);
    add_matrix(p, layer, "attention/key", width, width);
    add_matrix(p, layer, "attention/value", width, width);
    add_matrix(p, layer, "attention/output", width, width);
    add_bias(p, layer, "attention/output_bias", width);
    add_matrix(p, layer, "attention/position", width, width);
    add_head_bias(p, layer, "attention/content_bias", o);
    add_head_bias(p, layer, "attention/position_bias", o);
    if (own_axis) {
        add_matrix(p, layer, "attention/position_compressed", width, width);
        add_head_bias(p, layer, "attention/position_bias_compressed", o);
    }
    add_norm(p, layer, "attention_norm", width);
    add_norm(p, layer, "feed_forward_norm", width);
    add_matrix(p, layer, "feed_forward/in", width, feed_forward);
    add_bias(p, layer, "feed_forward/in_bias", feed_forward);
    add_matrix(p, layer, "feed_forward/out", feed_forward, width);
    add_bias(p, layer, "feed_forward/out_bias", width);
}

static void add_compression(Parameters *p, const ModelOptions *o, int layer)
{
    if (o->compressed_memory[layer] == 0) return;
    int64_t width = o->width, rate = o->compression_rate;
    bool dilated = o->compression == COMPRESSION_DILATED;

    if (dilated) {
        for (int i = 0; i < o->num_dilations; i++) {
            char name[32];
            snprintf(name, sizeof name, "compression/dilated_%d", i);
            add(p, GROUP_COMPRESSION, layer, name, 2 * width, width, INITIAL_NORMAL, true);
        }
    }
    if (dilated || o->compression == COMPRESSION_CONV)
        add(p, GROUP_COMPRESSION, layer, "compression/conv", rate * width, width,
            INITIAL_MEAN_OF_GROUP, true);
    if (o->compression_loss == COMPRESSION_LOSS_AUTOENCODING)
        add(p, GROUP_COMPRESSION, layer, "compression/decoder", width, rate * width, INITIAL_NORMAL,
            true);
}

static void build_table(Parameters *p, const ModelOptions *o)
{
    add_matrix(p, -1, "embedding/table", o->vocabulary, o->width);
    for (int layer = 0; layer < o->layers; layer++) add_layer(p, o, layer);
    if (o->norm == NORM_PRE) add_norm(p, -1, "final_norm", o->width);
    if (!o->tie_embeddings) add_matrix(p, -1, "output/table", o->width, o->vocabulary);
    add_bias(p, -1, "output/bias", o->vocabulary);
    for (int layer = 0; layer < o->layers; layer++) add_compression(p, o, layer);
}

static int64_t parameter_count(const Parameter *row)
{
    return row->num_dims == 2 ? row->dims[0] * row->dims[1] : row->dims[0];
}

/* Gives every row its place in the flat buffers; returns their length. */
static int64_t lay_out(Parameters *p)
{
    int64_t offset = 0;
    int row = 0;
    for (int group = 0; group < GROUP_COUNT; group++) {
        p->group_first[group] = offset;
        for (; row < p->count && (int)p->table[row].group == group; row++) {
            p->table[row].offset = offset;
            offset += (parameter_count(&p->table[row]) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
    }
    p->group_first[GROUP_COUNT] = offset;
    return offset;
}

void parameters_create(Parameters *p, Arena *arena, const ModelOptions *options, bool training)
{
    *p = (Parameters){.compression_rate = options->compression_rate};
    size_t most = (size_t)options->layers * MAX_ROWS_PER_LAYER + MAX_ROWS_OUTSIDE;
    p->table = arena_host(arena, PURPOSE_DATA, most * sizeof *p->table);
    if (p->table == NULL) return;

    build_table(p, options);
    int64_t total = lay_out(p);
    p->value = arena_tensor_1d(arena, PURPOSE_WEIGHTS, total);
    if (!training) return;
    p->gradient = arena_tensor_1d(arena, PURPOSE_GRADIENTS, total);
    p->first_moment = arena_tensor_1d(arena, PURPOSE_OPTIMIZER, total);
    p->second_moment = arena_tensor_1d(arena, PURPOSE_OPTIMIZER, total);
}

static double initial_value(const Parameters *p, const Parameter *row, RandomStream stream,
                            int64_t element)
{
    switch (row->initializer) {
    case INITIAL_ZERO: return 0.0;
    case INITIAL_ONE: return 1.0;
    case INITIAL_NORMAL: return normal_deviation * random_normal(stream, (uint64_t)element);
    case INITIAL_MEAN_OF_GROUP: {
        /* Row k D + i, column j is tap k from channel i to channel j. */
        int64_t width = row->dims[1];
        int64_t from = element / width % width, to = element % width;
        double noise = normal_deviation / sqrt(p->compression_rate);
        return (from == to ? 1.0 / p->compression_rate : 0.0) +
               noise * random_normal(stream, (uint64_t)element);
    }
    }
    return 0.0;
}

void parameters_initialize(Parameters *p, Device *device, uint64_t seed)
{
    for (int i = 0; i < p->count; i++) {
        const Parameter *row = &p->table[i];
        RandomStream stream = random_stream(seed, row->name);
        int64_t count = parameter_count(row);
        Real *host = fatal_calloc(checked_size(count), sizeof *host, row->name);
#pragma omp parallel for num_threads(device->threads)
        for (int64_t e = 0; e < count; e++) host[e] = (Real)initial_value(p, row, stream, e);
        device->op->upload(device, parameter_view(row, p->value), host);
        free(host);
    }
}

Weight parameters_get(const Parameters *p, const char *format, ...)
{
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);

    for (int i = 0; i < p->count; i++) {
        const Parameter *row = &p->table[i];
        if (strcmp(row->name, name) != 0) continue;
        Weight weight = {.value = parameter_view(row, p->value)};
        if (tensor_exists(p->gradient)) weight.gradient = parameter_view(row, p->gradient);
        return weight;
    }
    return (Weight){.value = tensor_none};
}

Tensor parameter_view(const Parameter *row, Tensor flat)
{
    Tensor view = {flat.data == NULL ? NULL : flat.data + row->offset,
                   row->num_dims,
                   {row->dims[0], row->dims[1]}};
    return view;
}

Tensor parameters_group(const Parameters *p, Tensor flat, ParameterGroup group)
{
    return tensor_slice(flat, p->group_first[group],
                        p->group_first[group + 1] - p->group_first[group]);
}

int64_t parameters_total(const Parameters *p)
{
    int64_t total = 0;
    for (int i = 0; i < p->count; i++) total += parameter_count(&p->table[i]);
    return total;
}
