/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/placing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mpi/balance.h"
#include "mpi/collectives.h"
#include "mpi/partition.h"
#include "mpi/pipeline_schedule.h"
#include "src/base/log.h"

/* With so many micro-batches for each stage a pipeline idles an eighth of its time or less. */
enum { MICRO_BATCHES_PER_STAGE = 8 };

/* Operations of one row's window, forward and backward, up to a common factor. */
static double layer_cost(const ModelOptions *o, int layer)
{
    double width = o->width, window = o->window;
    double memory = (double)o->memory[layer] + o->compressed_memory[layer];
    double own = window * (4.0 * width * width + 2.0 * width * o->feed_forward);
    double of_memory = memory * 2.0 * width * width;
    double attention = 3.0 * window * (memory + window / 2.0) * width;
    double compression = o->compressed_memory[layer] > 0 ? 2.0 * window * width * width : 0.0;
    return own + of_memory + attention + compression;
}

/* How many of all tokens lie in a cluster, by Zipf's law. */
static double cluster_share(const ModelOptions *o, Cluster cluster)
{
    double first = (double)cluster.first_token;
    return log((first + (double)cluster.tokens + 1) / (first + 1)) / log(o->vocabulary + 1.0);
}

/* Of embedding and output layer, in the same unit. A tail computes with its own tokens only. */
static void cost_of_ends(const ModelOptions *o, double *embedding, double *output)
{
    double width = o->width, window = o->window;
    *embedding = window * width;
    *output = window * width * o->vocabulary;
    /* A cut-off that is no token is refused when the vocabulary is known, which may be later. */
    bool known = o->vocabulary > o->cutoffs[model_clusters(o) > 1 ? model_clusters(o) - 2 : 0];
    if (!model_is_adaptive(o) || !known) return;
    *output = 0.0;
    for (int i = 0; i < model_clusters(o); i++) {
        Cluster cluster = model_cluster(o, i);
        double of_cluster = (double)cluster.width, share = cluster_share(o, cluster);
        *embedding += share * window * of_cluster * width;
        *output += (i == 0 ? 1.0 : share) * window * of_cluster * (width + (double)cluster.rows);
    }
}

static Status choose_stages(const Config *config, int stages, Range ranges[PAL_MAX_LAYERS])
{
    const ParallelConfig *parallel = &config->parallel;
    const ModelOptions *o = &config->model;
    if (parallel->num_stages > 1 || parallel->layers_per_stage[0] > 0)
        return balance_from_list(parallel->layers_per_stage, parallel->num_stages, o->layers,
                                 stages, ranges);
    double costs[PAL_MAX_LAYERS];
    for (int l = 0; l < o->layers; l++) costs[l] = layer_cost(o, l);
    double embedding, output;
    cost_of_ends(o, &embedding, &output);
    balance_layers(costs, o->layers, embedding, output, stages, ranges);
    return PAL_OK;
}

static void say_stages(const Range *ranges, int stages)
{
    char list[256] = "";
    for (int s = 0; s < stages; s++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%lld", s > 0 ? ", " : "",
                 (long long)ranges[s].count);
    }
    log_info("stages of %s layers", list);
}

Status placing_create_grid(Grid *grid, const Config *config, int rows)
{
    const ParallelConfig *parallel = &config->parallel;
    const ModelOptions *model = &config->model;
    double fewest = -grid->node.size; /* nodes may differ, but all ranks have to choose alike */
    group_max_double(&grid->world, &fewest, 1);
    const GridLimits limits = {
        .ranks = grid->world.size,
        .ranks_per_node = (int)-fewest,
        .rows = rows,
        .layers = model->layers,
        .heads = model->heads,
        .feed_forward = model->feed_forward,
        .window_groups = model->window / model->compression_rate,
    };
    GridShape shape, wish = {parallel->data, parallel->pipeline, parallel->tensor};
    if (wish.pipeline == PAL_AUTO && parallel->layers_per_stage[0] > 0)
        wish.pipeline = parallel->num_stages;
    Range stages[PAL_MAX_LAYERS];
    PAL_TRY(grid_shape_choose(&shape, wish, &limits));
    PAL_TRY(choose_stages(config, shape.pipeline, stages));
    grid_create(grid, shape);
    if (grid->world.size == 1) return PAL_OK;

    bool in_node = grid_tensor_in_node(grid);
    log_info("grid: %d ranks = data %d x pipeline %d x tensor %d%s", grid->world.size, shape.data,
             shape.pipeline, shape.tensor,
             shape.tensor == 1 ? ""
             : in_node         ? ", each tensor group within one node"
                               : "");
    if (shape.pipeline > 1) say_stages(stages, shape.pipeline);
    if (!in_node)
        log_warn("a tensor group spans nodes: it exchanges activations in every layer, which wants "
                 "shared memory; start ranks node by node (--map-by core, or srun -m block), or "
                 "choose a smaller parallel.tensor");
    return PAL_OK;
}

int placing_row_groups(const Grid *grid, const Config *config, int most_rows)
{
    int wanted = config->parallel.row_groups, stages = grid->pipeline.size;
    int windows = config->train.update_every;
    if (wanted > 0) return wanted;
    if (stages == 1) return 1;
    int groups = (MICRO_BATCHES_PER_STAGE * stages + windows - 1) / windows;
    return groups < most_rows ? groups : most_rows;
}

Placement placing_make(const Grid *grid, const Config *config, int rows, int row_groups,
                       int micro_batches)
{
    const ModelOptions *options = &config->model;
    int stages = grid->pipeline.size, stage = grid->pipeline.rank;
    Range ranges[PAL_MAX_LAYERS];
    Status status = choose_stages(config, stages, ranges);
    PAL_ASSERT(status == PAL_OK); /* placing_create_grid has asked */
    (void)status;
    Range layers = ranges[stage];
    Placement place = {
        .tensor_parts = grid->tensor.size,
        .tensor_part = grid->tensor.rank,
        .first_layer = (int)layers.first,
        .layers = (int)layers.count,
        .has_embedding = stage == 0,
        .has_output = stage == stages - 1,
        .rows = rows,
        .row_groups = row_groups,
        .flights = micro_batches > 0
                       ? pipeline_flights(stages, stage, micro_batches, config->parallel.run_ahead)
                       : 1,
        .operands = config->train.type,
    };
    for (int i = 0; i < model_clusters(options); i++) {
        Range slice =
            partition_range(model_cluster(options, i).rows, place.tensor_parts, place.tensor_part);
        place.slices[i] = (TokenSlice){slice.first, slice.count};
    }
    return place;
}
