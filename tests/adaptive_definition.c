/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/adaptive_definition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"

int64_t adaptive_count(const Parameter *row)
{
    return row->whole[0] * (row->num_dims == 2 ? row->whole[1] : 1);
}

void adaptive_create(AdaptiveDefinition *d, const ModelOptions *options)
{
    *d = (AdaptiveDefinition){.options = options};
    Placement place = placement_whole(options, 1);
    place.layers = 0;
    parameters_describe(&d->whole, options, &place);
    int64_t count = 0;
    for (int i = 0; i < d->whole.count; i++) count += adaptive_count(&d->whole.table[i]);
    d->weights = calloc(checked_size(count), sizeof *d->weights);
    if (d->weights == NULL) abort();
}

void adaptive_destroy(AdaptiveDefinition *d)
{
    free(d->weights);
    free(d->whole.table);
}

static double *weights_of(const AdaptiveDefinition *d, const char *format, int cluster)
{
    char name[96];
    double *at = d->weights;
    snprintf(name, sizeof name, format, cluster); /* NOLINT: the formats are those below */
    for (int i = 0; i < d->whole.count; i++) {
        if (strcmp(d->whole.table[i].name, name) == 0) return at;
        at += adaptive_count(&d->whole.table[i]);
    }
    abort();
}

static double *input_table(const AdaptiveDefinition *d, int i)
{
    return weights_of(d, "embedding/cluster_%d/table", i);
}

static double *output_table(const AdaptiveDefinition *d, int i)
{
    return d->options->tie_embeddings ? input_table(d, i)
                                      : weights_of(d, "output/cluster_%d/table", i);
}

static double *output_projection(const AdaptiveDefinition *d, int i)
{
    bool shared = d->options->tie_embeddings && i > 0;
    return weights_of(
        d, shared ? "embedding/cluster_%d/projection" : "output/cluster_%d/projection", i);
}

/* log softmax over the rows of one cluster */
static void cluster_log_p(const AdaptiveDefinition *d, int i, const double *x, double *log_p)
{
    Cluster cluster = model_cluster(d->options, i);
    const double *table = output_table(d, i), *projection = output_projection(d, i);
    const double *bias = weights_of(d, "output/cluster_%d/bias", i);
    double z[ADAPTIVE_MOST_WIDTH] = {0}, sum = 0.0;
    for (int64_t k = 0; k < cluster.width; k++)
        for (int64_t j = 0; j < d->options->width; j++)
            z[k] += projection[k * d->options->width + j] * x[j];
    for (int64_t r = 0; r < cluster.rows; r++) {
        log_p[r] = bias[r];
        for (int64_t k = 0; k < cluster.width; k++) log_p[r] += table[r * cluster.width + k] * z[k];
        sum += exp(log_p[r]);
    }
    for (int64_t r = 0; r < cluster.rows; r++) log_p[r] -= log(sum);
}

void adaptive_log_p(const AdaptiveDefinition *d, const double *x, double *log_p)
{
    double head[ADAPTIVE_MOST_TOKENS + PAL_MAX_CUTOFFS];
    Cluster first = model_cluster(d->options, 0);
    cluster_log_p(d, 0, x, head);
    memcpy(log_p, head, checked_size(first.tokens) * sizeof *log_p);
    for (int i = 1; i < model_clusters(d->options); i++) {
        Cluster tail = model_cluster(d->options, i);
        cluster_log_p(d, i, x, log_p + tail.first_token);
        for (int64_t r = 0; r < tail.tokens; r++)
            log_p[tail.first_token + r] += head[first.tokens + i - 1];
    }
}

void adaptive_embed(const AdaptiveDefinition *d, int32_t token, double *h)
{
    int i = 0;
    while (i + 1 < model_clusters(d->options) &&
           token >= model_cluster(d->options, i + 1).first_token)
        i++;
    Cluster cluster = model_cluster(d->options, i);
    const double *row = input_table(d, i) + (token - cluster.first_token) * cluster.width;
    const double *projection = weights_of(d, "embedding/cluster_%d/projection", i);
    for (int j = 0; j < d->options->width; j++) {
        h[j] = 0.0;
        for (int64_t k = 0; k < cluster.width; k++)
            h[j] += row[k] * projection[k * d->options->width + j];
        h[j] *= sqrt(d->options->width);
    }
}
