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
enum { ALIGNMENT = 16, MAX_ROWS_PER_LAYER = 32, MAX_ROWS_OUTSIDE = 5 * PAL_MAX_CLUSTERS + 2 };

/* How a tensor is spread over the tensor group. */
typedef enum Spread {
    SHARED,           /* every rank has all of it */
    SPLIT_ROWS,       /* equal ranges of the first dimension */
    SPLIT_COLUMNS,    /* of the second */
    SPLIT_TOKEN_ROWS, /* the slices of a cluster of the vocabulary: the first dimension */
    SPLIT_TOKEN_COLUMNS
} Spread;

/* A table under construction. */
typedef struct Builder {
    Parameters *p;
    const ModelOptions *options;
    const Placement *place;
    int layer;   /* -1 outside the layers */
    int cluster; /* of the vocabulary */
} Builder;

/* This rank's part of the first `whole` rows of its cluster: an input table has no classes. */
static TokenSlice slice_of(const Builder *b, int64_t whole)
{
    TokenSlice slice = b->place->slices[b->cluster];
    int64_t end = slice.first + slice.count < whole ? slice.first + slice.count : whole;
    if (slice.first > end) slice.first = end;
    return (TokenSlice){slice.first, end - slice.first};
}

/* This rank's range [first, first + count) of a dimension. */
static void take_slice(const Builder *b, Parameter *row, Spread spread)
{
    const Placement *place = b->place;
    bool tokens = spread == SPLIT_TOKEN_ROWS || spread == SPLIT_TOKEN_COLUMNS;
    int d = spread == SPLIT_COLUMNS || spread == SPLIT_TOKEN_COLUMNS;
    row->shared = spread == SHARED && place->tensor_parts > 1;
    row->owner = !row->shared || place->tensor_part == 0;
    if (spread == SHARED) return;
    int64_t equal = row->whole[d] / place->tensor_parts;
    TokenSlice slice = {equal * place->tensor_part, equal};
    if (tokens) slice = slice_of(b, row->whole[d]);
    row->first[d] = slice.first;
    row->dims[d] = slice.count;
}

/* Appends one row: a matrix (columns > 0) or a vector. */
static Parameter *add(Builder *b, ParameterGroup group, const char *name, int64_t rows,
                      int64_t columns, Initializer initializer, Spread spread)
{
    Parameter *row = &b->p->table[b->p->count++];
    bool matrix = columns > 0;
    *row = (Parameter){.num_dims = matrix ? 2 : 1,
                       .dims = {rows, columns},
                       .whole = {rows, columns},
                       .initializer = initializer,
                       .decays = matrix,
                       .group = group,
                       .layer = b->layer};
    take_slice(b, row, spread);
    if (b->layer < 0)
        snprintf(row->name, sizeof row->name, "%s", name);
    else
        snprintf(row->name, sizeof row->name, "layers/%02d/%s", b->layer, name);
    return row;
}

static void add_matrix(Builder *b, const char *name, int64_t rows, int64_t columns, Spread spread)
{
    add(b, GROUP_MAIN, name, rows, columns, INITIAL_NORMAL, spread);
}

static void add_bias(Builder *b, const char *name, int64_t size, Spread spread)
{
    add(b, GROUP_MAIN, name, size, 0, INITIAL_ZERO, spread);
}

static void add_head_bias(Builder *b, const char *name)
{
    const ModelOptions *o = b->options;
    Parameter *row =
        add(b, GROUP_MAIN, name, o->heads, o->width / o->heads, INITIAL_ZERO, SPLIT_ROWS);
    row->decays = false;
}

static void add_norm(Builder *b, const char *name)
{
    char full[48];
    snprintf(full, sizeof full, "%s/scale", name);
    add(b, GROUP_MAIN, full, b->options->width, 0, INITIAL_ONE, SHARED);
    snprintf(full, sizeof full, "%s/shift", name);
    add(b, GROUP_MAIN, full, b->options->width, 0, INITIAL_ZERO, SHARED);
}

static void add_layer(Builder *b)
{
    const ModelOptions *o = b->options;
    int64_t width = o->width, feed_forward = o->feed_forward;
    bool own_axis = o->positions == POSITIONS_SEPARATE && o->compressed_memory[b->layer] > 0;

    add_matrix(b, "attention/query", width, width, SPLIT_COLUMNS);
    add_matrix(b, "attention/key", width, width, SPLIT_COLUMNS);
    add_matrix(b, "attention/value", width, width, SPLIT_COLUMNS);
    add_matrix(b, "attention/output", width, width, SPLIT_ROWS);
    add_bias(b, "attention/output_bias", width, SHARED);
    add_matrix(b, "attention/position", width, width, SPLIT_COLUMNS);
    add_head_bias(b, "attention/content_bias");
    add_head_bias(b, "attention/position_bias");
    if (own_axis) {
        add_matrix(b, "attention/position_compressed", width, width, SPLIT_COLUMNS);
        add_head_bias(b, "attention/position_bias_compressed");
    }
    add_norm(b, "attention_norm");
    add_norm(b, "feed_forward_norm");
    add_matrix(b, "feed_forward/in", width, feed_forward, SPLIT_COLUMNS);
    add_bias(b, "feed_forward/in_bias", feed_forward, SPLIT_ROWS);
    add_matrix(b, "feed_forward/out", feed_forward, width, SPLIT_ROWS);
    add_bias(b, "feed_forward/out_bias", width, SHARED);
}

static void add_compression(Builder *b)
{
    const ModelOptions *o = b->options;
    if (o->compressed_memory[b->layer] == 0) return;
    int64_t width = o->width, rate = o->compression_rate;
    bool dilated = o->compression == COMPRESSION_DILATED;

    if (dilated) {
        for (int i = 0; i < o->num_dilations; i++) {
            char name[32];
            snprintf(name, sizeof name, "compression/dilated_%d", i);
            add(b, GROUP_COMPRESSION, name, 2 * width, width, INITIAL_NORMAL, SHARED);
        }
    }
    if (dilated || o->compression == COMPRESSION_CONV)
        add(b, GROUP_COMPRESSION, "compression/conv", rate * width, width, INITIAL_MEAN_OF_GROUP,
            SHARED);
    if (o->compression_loss == COMPRESSION_LOSS_AUTOENCODING)
        add(b, GROUP_COMPRESSION, "compression/decoder", width, rate * width, INITIAL_NORMAL,
            SHARED);
}

/* What tied embeddings have at both ends of the pipeline. */
static void add_input(Builder *b, const char *name, int64_t rows, int64_t columns, Spread spread,
                      bool tied)
{
    if (!b->place->has_embedding && !tied) return;
    Parameter *row = add(b, GROUP_MAIN, name, rows, columns, INITIAL_NORMAL, spread);
    row->at_both_ends = tied;
    row->owner = row->owner && b->place->has_embedding;
}

/* Cluster i; of tied ones the first has a projection of its own at either end. */
static void add_input_cluster(Builder *b, int i)
{
    const ModelOptions *o = b->options;
    Cluster cluster = model_cluster(o, i);
    bool tied = o->tie_embeddings;
    char name[48];
    snprintf(name, sizeof name, "embedding/cluster_%d/table", i);
    add_input(b, name, tied ? cluster.rows : cluster.tokens, cluster.width, SPLIT_TOKEN_ROWS, tied);
    snprintf(name, sizeof name, "embedding/cluster_%d/projection", i);
    add_input(b, name, cluster.width, o->width, SHARED, tied && i > 0);
}

static void add_embedding(Builder *b)
{
    const ModelOptions *o = b->options;
    if (!b->place->has_embedding && !(b->place->has_output && o->tie_embeddings)) return;
    if (!model_is_adaptive(o))
        add_input(b, "embedding/table", o->vocabulary, o->width, SPLIT_TOKEN_ROWS,
                  o->tie_embeddings);
    else
        for (b->cluster = 0; b->cluster < model_clusters(o); b->cluster++)
            add_input_cluster(b, b->cluster);
    b->cluster = 0;
}

static void add_output_cluster(Builder *b, int i)
{
    const ModelOptions *o = b->options;
    Cluster cluster = model_cluster(o, i);
    char name[48];
    snprintf(name, sizeof name, "output/cluster_%d/projection", i);
    if (i == 0 || !o->tie_embeddings) add_matrix(b, name, cluster.width, o->width, SHARED);
    snprintf(name, sizeof name, "output/cluster_%d/table", i);
    if (!o->tie_embeddings) add_matrix(b, name, cluster.rows, cluster.width, SPLIT_TOKEN_ROWS);
    snprintf(name, sizeof name, "output/cluster_%d/bias", i);
    add_bias(b, name, cluster.rows, SPLIT_TOKEN_ROWS);
}

static void add_output(Builder *b)
{
    const ModelOptions *o = b->options;
    if (!b->place->has_output) return;
    if (o->norm == NORM_PRE) add_norm(b, "final_norm");
    if (model_is_adaptive(o)) {
        for (b->cluster = 0; b->cluster < model_clusters(o); b->cluster++)
            add_output_cluster(b, b->cluster);
        b->cluster = 0;
        return;
    }
    if (!o->tie_embeddings)
        add_matrix(b, "output/table", o->width, o->vocabulary, SPLIT_TOKEN_COLUMNS);
    add_bias(b, "output/bias", o->vocabulary, SPLIT_TOKEN_ROWS);
}

static void build_table(Builder *b)
{
    int first = b->place->first_layer, end = first + b->place->layers;
    b->layer = -1;
    add_embedding(b);
    for (b->layer = first; b->layer < end; b->layer++) add_layer(b);
    b->layer = -1;
    add_output(b);
    for (b->layer = first; b->layer < end; b->layer++) add_compression(b);
}

static int64_t parameter_count(const Parameter *row)
{
    return row->num_dims == 2 ? row->dims[0] * row->dims[1] : row->dims[0];
}

static int64_t lay_out_part(Parameters *p, ParameterGroup group, bool shared, int64_t offset)
{
    for (int i = 0; i < p->count; i++) {
        Parameter *row = &p->table[i];
        if (row->group != group || row->shared != shared) continue;
        row->offset = offset;
        offset += (parameter_count(row) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return offset;
}

/* Gives every row its place in the flat buffers; returns their length. */
static int64_t lay_out(Parameters *p)
{
    int64_t offset = 0;
    for (int group = 0; group < GROUP_COUNT; group++) {
        p->group_first[group] = offset;
        p->shared_first[group] = lay_out_part(p, (ParameterGroup)group, false, offset);
        offset = lay_out_part(p, (ParameterGroup)group, true, p->shared_first[group]);
    }
    p->group_first[GROUP_COUNT] = offset;
    return offset;
}

static size_t most_rows(const Placement *place)
{
    return (size_t)place->layers * MAX_ROWS_PER_LAYER + MAX_ROWS_OUTSIDE;
}

void parameters_describe(Parameters *p, const ModelOptions *options, const Placement *place)
{
    *p = (Parameters){.compression_rate = options->compression_rate};
    p->table = fatal_calloc(most_rows(place), sizeof *p->table, "the table of parameters");
    build_table(&(Builder){.p = p, .options = options, .place = place});
    lay_out(p);
}

void parameters_create(Parameters *p, Arena *arena, const ModelOptions *options,
                       const Placement *place, bool training)
{
    *p = (Parameters){.compression_rate = options->compression_rate};
    p->table = arena_host(arena, PURPOSE_DATA, most_rows(place) * sizeof *p->table);
    if (p->table == NULL) return;

    build_table(&(Builder){.p = p, .options = options, .place = place});
    int64_t total = lay_out(p);
    p->operand = p->value = arena_tensor_1d(arena, PURPOSE_WEIGHTS, total);
    if (place->operands != NUMBER_FLOAT32)
        p->operand = arena_tensor(arena, PURPOSE_WEIGHTS, place->operands, 1, (int64_t[]){total});
    if (!training) return;
    p->gradient = arena_tensor_1d(arena, PURPOSE_GRADIENTS, total);
}

/* The number of an element of this rank's slice in the whole tensor. */
static int64_t whole_element(const Parameter *row, int64_t element)
{
    if (row->num_dims == 1) return row->first[0] + element;
    int64_t i = element / row->dims[1], j = element % row->dims[1];
    return (row->first[0] + i) * row->whole[1] + row->first[1] + j;
}

/* Of an element of the whole tensor. */
static double initial_value(const Parameters *p, const Parameter *row, RandomStream stream,
                            int64_t element)
{
    switch (row->initializer) {
    case INITIAL_ZERO: return 0.0;
    case INITIAL_ONE: return 1.0;
    case INITIAL_NORMAL: return normal_deviation * random_normal(stream, (uint64_t)element);
    case INITIAL_MEAN_OF_GROUP: {
        /* Row k D + i, column j is tap k from channel i to channel j. */
        int64_t width = row->whole[1];
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
        for (int64_t e = 0; e < count; e++)
            host[e] = (Real)initial_value(p, row, stream, whole_element(row, e));
        device->op->upload(device, parameter_view(row, p->value), host);
        free(host);
    }
}

void parameters_round(const Parameters *p, Device *device)
{
    device_round(device, p->operand, p->value);
}

Weight parameters_get(const Parameters *p, const char *format, ...)
{
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);

    const Parameter *row = parameters_find(p, name);
    if (row == NULL) return (Weight){.value = tensor_none};
    Weight weight = {.value = parameter_view(row, p->value),
                     .operand = parameter_view(row, p->operand)};
    if (tensor_exists(p->gradient)) weight.gradient = parameter_view(row, p->gradient);
    return weight;
}

const Parameter *parameters_find(const Parameters *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->table[i].name, name) == 0) return &p->table[i];
    return NULL;
}

Tensor parameter_view(const Parameter *row, Tensor flat)
{
    Tensor view = tensor_part_2d(flat, row->offset, row->dims[0], row->dims[1]);
    view.num_dims = row->num_dims;
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

int64_t parameters_largest(const Parameters *p)
{
    int64_t largest = 0;
    for (int i = 0; i < p->count; i++) {
        int64_t count = parameter_count(&p->table[i]);
        if (count > largest) largest = count;
    }
    return largest;
}

int64_t parameters_layer_first(const Parameters *p, int layer)
{
    int64_t first = p->shared_first[GROUP_MAIN];
    for (int i = 0; i < p->count; i++) {
        const Parameter *row = &p->table[i];
        bool counts = row->layer == layer && row->group == GROUP_MAIN && !row->shared;
        if (counts && row->offset < first) first = row->offset;
    }
    return first;
}
