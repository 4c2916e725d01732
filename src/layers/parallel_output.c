/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/parallel_output.h"

#include <math.h>

#include "src/layers/linear.h"

/* Enough rows for an efficient product, few enough that the logits of a large vocabulary stay small
 * beside the activations. */
enum { MOST_LOGITS = 1 << 23, LEAST_PIECE = 64 };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void take_weights(OutputCluster *cluster, const Parameters *parameters,
                         const ModelOptions *options, int i)
{
    bool tied = options->tie_embeddings;
    if (!model_is_adaptive(options)) {
        cluster->table = parameters_get(parameters, tied ? "embedding/table" : "output/table");
        cluster->bias = parameters_get(parameters, "output/bias");
        return;
    }
    cluster->table = parameters_get(
        parameters, tied ? "embedding/cluster_%d/table" : "output/cluster_%d/table", i);
    cluster->bias = parameters_get(parameters, "output/cluster_%d/bias", i);
    cluster->projection = parameters_get(
        parameters,
        tied && i > 0 ? "embedding/cluster_%d/projection" : "output/cluster_%d/projection", i);
}

static void take_logits(OutputLayer *layer, Arena *arena, NumberType operands)
{
    int64_t numbers = 0, piece = 0;
    for (int i = 0; i < layer->count; i++) {
        numbers = larger(numbers, layer->clusters[i].piece * layer->clusters[i].rows);
        piece = larger(piece, layer->clusters[i].piece);
    }
    layer->logits = arena_tensor_1d(arena, PURPOSE_WORKSPACE, numbers);
    layer->rounded = layer->logits;
    if (operands != NUMBER_FLOAT32)
        layer->rounded = arena_tensor(arena, PURPOSE_WORKSPACE, operands, 1, (int64_t[]){numbers});
    if (layer->group->size > 1)
        layer->parts = arena_tensor_1d(arena, PURPOSE_WORKSPACE, layer->group->size * piece * 3);
}

void output_create(OutputLayer *layer, Arena *arena, const Parameters *parameters,
                   const ModelOptions *options, const Placement *place, const Group *group,
                   ClusterWork *work)
{
    *layer = (OutputLayer){.count = model_clusters(options), .group = group, .work = work};
    layer->columns = !options->tie_embeddings && !model_is_adaptive(options);
    int64_t most = (int64_t)place->rows * options->window;
    if (model_is_adaptive(options)) most = smaller(most, work->most);
    for (int i = 0; i < layer->count; i++) {
        OutputCluster *cluster = &layer->clusters[i];
        take_weights(cluster, parameters, options, i);
        cluster->whole = model_cluster(options, i);
        cluster->first_row = place->slices[i].first;
        cluster->rows = place->slices[i].count;
        /* The same number of rows on every rank, however long its slice. */
        int64_t piece = (int64_t)MOST_LOGITS / cluster->whole.rows * group->size;
        cluster->piece = smaller(larger(piece, LEAST_PIECE), most);
    }
    take_logits(layer, arena, place->operands);
}

/* --- logits of a cluster, from what its table multiplies: z (n,d) ------------------------------ */

static void logits_forward(Device *device, const OutputLayer *layer, const OutputCluster *cluster,
                           Tensor logits, Tensor z)
{
    device->op->matmul(
        device, logits, z, cluster->table.operand,
        (MatmulOptions){.transpose_b = !layer->columns, .bias = cluster->bias.value});
}

/* From dlogits: dz [+]= dlogits Wout^T and the gradients of Wout and bout. */
static void logits_backward(Device *device, const OutputLayer *layer, const OutputCluster *cluster,
                            Tensor dz, Tensor dlogits, Tensor z, bool accumulate)
{
    Tensor rounded = tensor_part_2d(layer->rounded, 0, dlogits.dims[0], dlogits.dims[1]);
    device_round(device, rounded, dlogits);
    if (layer->columns) {
        PAL_ASSERT(accumulate);
        linear_backward(device, dz, rounded, z, cluster->table, cluster->bias);
        return;
    }
    /* logits = z E^T + bout */
    device->op->matmul(device, dz, rounded, cluster->table.operand,
                       (MatmulOptions){.accumulate = accumulate});
    device->op->matmul(device, cluster->table.gradient, rounded, z,
                       (MatmulOptions){.transpose_a = true, .accumulate = true});
    device->op->add_column_sums(device, cluster->bias.gradient, rounded);
}

/* nats of one piece; with `gradient` logits become their own gradient. */
static void cross_entropy(Device *device, const OutputLayer *layer, const OutputCluster *cluster,
                          Tensor nats, Tensor logits, const int32_t *targets, bool gradient)
{
    const Group *group = layer->group;
    if (group->size == 1) {
        device->op->cross_entropy(device, nats, logits, targets, gradient);
        return;
    }
    int64_t count = logits.dims[0];
    Tensor parts = tensor_part_3d(layer->parts, 0, group->size, count, 3);
    Tensor own = tensor_slice(parts, group->rank, 1);
    device->op->cross_entropy_slice(device, own, logits, targets, cluster->first_row);
    group_all_gather(group, TRAFFIC_ACTIVATIONS, tensor_reals(parts), tensor_reals(own), 3 * count);
    device->op->cross_entropy_join(device, nats, logits, parts, targets, cluster->first_row,
                                   gradient);
}

/* --- projections ------------------------------------------------------------------------------ */

static bool is_projected(const OutputCluster *cluster)
{
    return tensor_exists(cluster->projection.value);
}

/* z = x Q^T */
static Tensor project(Device *device, const ClusterWork *work, const OutputCluster *cluster,
                      Tensor x)
{
    Tensor z = cluster_work_rows(work->narrow, x.dims[0], cluster->whole.width);
    device->op->matmul(device, z, x, cluster->projection.operand,
                       (MatmulOptions){.transpose_b = true});
    return z;
}

/* --- the loss --------------------------------------------------------------------------------- */

/* Positions in a row, as one cluster sees them. dx is none without a gradient. */
typedef struct Stretch {
    Tensor nats, dx, x;     /* (n), (n,D), (n,D) */
    const int32_t *targets; /* (n) rows of the cluster, or -1; host */
    bool keeps_dx;          /* adds into dx; else sets it, and x may lie there */
} Stretch;

static Stretch stretch_slice(Stretch s, int64_t first, int64_t count)
{
    s.nats = tensor_slice(s.nats, first, count);
    if (tensor_exists(s.dx)) s.dx = tensor_slice(s.dx, first, count);
    s.x = tensor_slice(s.x, first, count);
    s.targets += first;
    return s;
}

/* dx [+]= dz Q and the gradient of Q, from dz in work->dnarrow. */
static void project_backward(Device *device, const ClusterWork *work, const OutputCluster *cluster,
                             const Stretch *s)
{
    int64_t count = s->x.dims[0], width = cluster->whole.width;
    Tensor rounded = cluster_work_rows(work->dnarrow_rounded, count, width);
    device_round(device, rounded, cluster_work_rows(work->dnarrow, count, width));
    device->op->matmul(device, cluster->projection.gradient, rounded, s->x,
                       (MatmulOptions){.transpose_a = true, .accumulate = true});
    device->op->matmul(device, s->dx, rounded, cluster->projection.operand,
                       (MatmulOptions){.accumulate = s->keeps_dx});
}

/* As many positions as a piece has. */
static void piece_loss(Device *device, const OutputLayer *layer, const OutputCluster *cluster,
                       const Stretch *s)
{
    const ClusterWork *work = layer->work;
    int64_t count = s->x.dims[0];
    bool gradient = tensor_exists(s->dx), projects = is_projected(cluster);
    Tensor logits = tensor_part_2d(layer->logits, 0, count, cluster->rows);
    Tensor z = projects ? project(device, work, cluster, s->x) : s->x;

    logits_forward(device, layer, cluster, logits, z);
    cross_entropy(device, layer, cluster, s->nats, logits, s->targets, gradient);
    if (!gradient) return;
    Tensor dz = projects ? cluster_work_rows(work->dnarrow, count, z.dims[1]) : s->dx;
    logits_backward(device, layer, cluster, dz, logits, z, !projects);
    if (projects) project_backward(device, work, cluster, s);
}

static void head_loss(Device *device, const OutputLayer *layer, Stretch whole)
{
    const OutputCluster *head = &layer->clusters[0];
    int64_t rows = whole.x.dims[0];
    for (int64_t first = 0; first < rows; first += head->piece) {
        Stretch piece = stretch_slice(whole, first, smaller(rows - first, head->piece));
        piece_loss(device, layer, head, &piece);
    }
}

/* The positions whose target lies in this tail: taken out of x, and what they give added back. */
static void tail_loss(Device *device, const OutputLayer *layer, const OutputCluster *tail,
                      Stretch whole)
{
    ClusterWork *work = layer->work;
    int64_t positions = whole.x.dims[0], width = whole.x.dims[1];
    bool gradient = tensor_exists(whole.dx);
    Tensor nats = tensor_reshape_2d(whole.nats, positions, 1);
    cluster_rows_find(&work->found, whole.targets, positions, tail->whole.first_token,
                      tail->whole.tokens);
    for (int64_t first = 0; first < work->found.count; first += tail->piece) {
        ClusterRows rows = cluster_rows_piece(&work->found, first, tail->piece);
        Tensor dtaken = cluster_work_rows(work->dwide, rows.count, width);
        Stretch taken = {.nats = tensor_part_1d(work->nats, 0, rows.count),
                         .dx = gradient ? dtaken : tensor_none,
                         .x = cluster_work_rows(work->wide, rows.count, width),
                         .targets = rows.tokens};
        cluster_rows_take(device, taken.x, whole.x, &rows);
        piece_loss(device, layer, tail, &taken);
        cluster_rows_add(device, nats, tensor_reshape_2d(taken.nats, rows.count, 1), &rows);
        if (gradient) cluster_rows_add(device, whole.dx, dtaken, &rows);
    }
}

/* The head's row for each target: its own, or the class of its cluster. */
static const int32_t *head_targets(const OutputLayer *layer, const int32_t *targets, int64_t count)
{
    if (layer->count == 1) return targets;
    int32_t *rows = layer->work->tokens;
    int32_t first_class = (int32_t)layer->clusters[0].whole.tokens;
    for (int64_t i = 0; i < count; i++) {
        int32_t cluster = 0;
        while (cluster + 1 < layer->count &&
               targets[i] >= layer->clusters[cluster + 1].whole.first_token)
            cluster++;
        rows[i] = cluster == 0 ? targets[i] : first_class + cluster - 1;
    }
    return rows;
}

void output_loss(Device *device, const OutputLayer *layer, Tensor nats, Tensor dx, Tensor x,
                 const Window *window)
{
    Stretch whole = {.dx = tensor_exists(dx) ? tensor_as_matrix(dx) : tensor_none,
                     .x = tensor_as_matrix(x),
                     .keeps_dx = true};
    int64_t positions = whole.x.dims[0];
    whole.nats = tensor_part_1d(nats, 0, positions);
    whole.targets = head_targets(layer, window->targets, positions);
    head_loss(device, layer, whole);
    whole.targets = window->targets;
    for (int i = 1; i < layer->count; i++) tail_loss(device, layer, &layer->clusters[i], whole);
}

/* --- generation ------------------------------------------------------------------------------- */

static double log_sum_exp(const Real *x, int64_t count)
{
    double highest = -(double)INFINITY, sum = 0.0;
    for (int64_t j = 0; j < count; j++) highest = fmax(highest, (double)x[j]);
    for (int64_t j = 0; j < count; j++) sum += exp((double)x[j] - highest);
    return highest + log(sum);
}

/* Logits of a tail become those of the head: class + log softmax. */
static void join_tail(Real *logits, int64_t count, Real of_class)
{
    double shift = (double)of_class - log_sum_exp(logits, count);
    for (int64_t j = 0; j < count; j++) logits[j] = (Real)((double)logits[j] + shift);
}

void output_logits(Device *device, const OutputLayer *layer, Real *logits, Tensor x)
{
    Real classes[PAL_MAX_CLUSTERS];
    PAL_ASSERT(layer->group->size == 1 && x.dims[0] == 1);
    for (int i = 0; i < layer->count; i++) {
        const OutputCluster *cluster = &layer->clusters[i];
        int64_t first = cluster->whole.first_token, tokens = cluster->whole.tokens;
        Tensor row = tensor_part_2d(layer->logits, 0, 1, cluster->rows);
        Tensor z = is_projected(cluster) ? project(device, layer->work, cluster, x) : x;
        logits_forward(device, layer, cluster, row, z);
        device->op->download(device, logits + first, tensor_part_1d(row, 0, tokens));
        if (cluster->rows > tokens)
            device->op->download(device, classes,
                                 tensor_part_1d(row, tokens, cluster->rows - tokens));
        if (i > 0) join_tail(logits + first, tokens, classes[i - 1]);
    }
}
