/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/embedding.h"

#include <math.h>
#include <stddef.h>

/* Of the tokens of a cluster those whose rows this rank has. */
static void find_own_tokens(EmbeddingCluster *own, Cluster cluster, TokenSlice slice)
{
    int64_t end = slice.first + slice.count;
    if (end > cluster.tokens) end = cluster.tokens;
    own->first_token = cluster.first_token + slice.first;
    own->tokens = end > slice.first ? end - slice.first : 0;
}

void embedding_create(Embedding *embedding, const Parameters *parameters,
                      const ModelOptions *options, const Placement *place, ClusterWork *work)
{
    *embedding = (Embedding){.count = model_clusters(options), .work = work};
    for (int i = 0; i < embedding->count; i++) {
        EmbeddingCluster *own = &embedding->clusters[i];
        find_own_tokens(own, model_cluster(options, i), place->slices[i]);
        if (model_is_adaptive(options)) {
            own->table = parameters_get(parameters, "embedding/cluster_%d/table", i);
            own->projection = parameters_get(parameters, "embedding/cluster_%d/projection", i);
        } else {
            own->table = parameters_get(parameters, "embedding/table");
        }
    }
}

static double factor(Tensor h) { return sqrt((double)h.dims[2]); }

static bool is_projected(const Embedding *embedding)
{
    return tensor_exists(embedding->clusters[0].projection.value);
}

/* narrow = factor table[token] of these rows, as products read it */
static Tensor look_up(Device *device, const ClusterWork *work, const EmbeddingCluster *cluster,
                      const ClusterRows *piece, double by)
{
    int64_t width = cluster->table.value.dims[1];
    Tensor narrow = cluster_work_rows(work->narrow, piece->count, width);
    Tensor looked_up = cluster_work_rows(work->dnarrow, piece->count, width);
    device->op->embedding_forward(device, looked_up, cluster->table.value, piece->tokens, 0, by);
    device_round(device, narrow, looked_up);
    return narrow;
}

/* h[row] += (factor table[token]) P */
static void project(Device *device, const ClusterWork *work, const EmbeddingCluster *cluster,
                    Tensor h, const ClusterRows *piece, double by)
{
    Tensor wide = cluster_work_rows(work->dwide, piece->count, h.dims[1]);
    device->op->matmul(device, wide, look_up(device, work, cluster, piece, by),
                       cluster->projection.operand, (MatmulOptions){0});
    cluster_rows_add(device, h, wide, piece);
}

static void project_backward(Device *device, const ClusterWork *work,
                             const EmbeddingCluster *cluster, Tensor dh, const ClusterRows *piece,
                             double by)
{
    Tensor dwide = cluster_work_rows(work->dwide, piece->count, dh.dims[1]);
    Tensor rounded = cluster_work_rows(work->wide, piece->count, dh.dims[1]);
    device->op->embedding_forward(device, dwide, dh, piece->rows, 0, 1.0);
    device_round(device, rounded, dwide);

    Tensor narrow = look_up(device, work, cluster, piece, by);
    device->op->matmul(device, cluster->projection.gradient, narrow, rounded,
                       (MatmulOptions){.transpose_a = true, .accumulate = true});
    Tensor dnarrow = cluster_work_rows(work->dnarrow, piece->count, narrow.dims[1]);
    device->op->matmul(device, dnarrow, rounded, cluster->projection.operand,
                       (MatmulOptions){.transpose_b = true});
    device->op->embedding_backward(device, cluster->table.gradient, dnarrow, piece->tokens, 0, by);
}

typedef void Step(Device *, const ClusterWork *, const EmbeddingCluster *, Tensor,
                  const ClusterRows *, double);

/* -1 at padding, so that it is in no cluster and adds nothing, not even a rounding. */
static const int32_t *without_padding(const ClusterWork *work, const Window *window)
{
    for (int b = 0; b < window->rows; b++)
        for (int t = 0; t < window->length; t++) {
            ptrdiff_t i = (ptrdiff_t)b * window->length + t;
            work->tokens[i] = t < window->counted[b] ? window->inputs[i] : -1;
        }
    return work->tokens;
}

/* The step for the rows of all clusters, piece by piece. */
static void each_piece(Device *device, const Embedding *embedding, Tensor h, const Window *window,
                       Step *step)
{
    ClusterWork *work = embedding->work;
    Tensor rows = tensor_as_matrix(h);
    const int32_t *tokens = without_padding(work, window);
    for (int i = 0; i < embedding->count; i++) {
        const EmbeddingCluster *cluster = &embedding->clusters[i];
        cluster_rows_find(&work->found, tokens, rows.dims[0], cluster->first_token,
                          cluster->tokens);
        for (int64_t first = 0; first < work->found.count; first += work->most) {
            ClusterRows piece = cluster_rows_piece(&work->found, first, work->most);
            step(device, work, cluster, rows, &piece, factor(h));
        }
    }
}

void embedding_forward(Device *device, const Embedding *embedding, Tensor h, const Window *window)
{
    if (is_projected(embedding)) {
        device->op->fill(device, h, 0.0);
        each_piece(device, embedding, h, window, project);
        return;
    }
    const EmbeddingCluster *all = &embedding->clusters[0];
    device->op->embedding_forward(device, tensor_as_matrix(h), all->table.value, window->inputs,
                                  all->first_token, factor(h));
}

void embedding_backward(Device *device, const Embedding *embedding, Tensor dh, const Window *window)
{
    if (is_projected(embedding)) {
        each_piece(device, embedding, dh, window, project_backward);
        return;
    }
    const EmbeddingCluster *all = &embedding->clusters[0];
    device->op->embedding_backward(device, all->table.gradient, tensor_as_matrix(dh),
                                   window->inputs, all->first_token, factor(dh));
}
