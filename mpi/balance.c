/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/balance.h"

#include <math.h>
#include <stdint.h>

/* What is divided. */
typedef struct Work {
    const double *layer_costs; /* borrowed */
    double first_cost, last_cost;
    int layers, stages;
} Work;

/* A stage may begin at the layers from `from` to `to`: those before it and behind it need one
 * layer each. */
typedef struct Starts {
    int from, to;
} Starts;

static Starts starts_of(const Work *work, int stage)
{
    int latest = work->layers - (work->stages - stage);
    return (Starts){.from = stage, .to = stage == 0 ? 0 : latest};
}

/* The most layers that a stage which begins at `first` can have. */
static int most_layers(const Work *work, int stage, int first)
{
    return work->layers - first - (work->stages - 1 - stage);
}

/* What a stage costs beside its layers. */
static double cost_of_ends(const Work *work, int stage)
{
    return (stage == 0 ? work->first_cost : 0) + (stage == work->stages - 1 ? work->last_cost : 0);
}

/* The least possible largest cost of a stage. */
static double least_largest_cost(const Work *work)
{
    /* best[first]: of the stages behind the present one, when they hold the layers from `first` on.
     * Going up through `first` replaces only what is not read again. */
    double best[BALANCE_MOST_LAYERS + 1];
    for (int first = 0; first < work->layers; first++) best[first] = INFINITY;
    best[work->layers] = 0; /* behind the last stage */

    for (int stage = work->stages - 1; stage >= 0; stage--) {
        Starts starts = starts_of(work, stage);
        for (int first = starts.from; first <= starts.to; first++) {
            double cost = cost_of_ends(work, stage), least = INFINITY;
            for (int count = 1; count <= most_layers(work, stage, first); count++) {
                cost += work->layer_costs[first + count - 1];
                least = fmin(least, fmax(cost, best[first + count]));
            }
            best[first] = least;
        }
    }
    return best[0];
}

/* counts[stage][first]: how many layers a stage that begins at `first` takes, so that no stage from
 * it on costs more than `bound` and their numbers of layers are as even as they can be. */
static void choose_counts(const Work *work, double bound, int16_t counts[][BALANCE_MOST_LAYERS + 1])
{
    enum { IMPOSSIBLE = BALANCE_MOST_LAYERS * BALANCE_MOST_LAYERS + 1 };
    int squares[BALANCE_MOST_LAYERS + 1]; /* least sum, indexed as `best` above */
    for (int first = 0; first < work->layers; first++) squares[first] = IMPOSSIBLE;
    squares[work->layers] = 0;

    for (int stage = work->stages - 1; stage >= 0; stage--) {
        Starts starts = starts_of(work, stage);
        for (int first = starts.from; first <= starts.to; first++) {
            double cost = cost_of_ends(work, stage);
            int least = IMPOSSIBLE;
            counts[stage][first] = 0;
            for (int count = 1; count <= most_layers(work, stage, first); count++) {
                cost += work->layer_costs[first + count - 1];
                if (cost > bound) break;
                int sum = count * count + squares[first + count];
                if (sum >= least) continue; /* equally even: the shorter one came first */
                least = sum;
                counts[stage][first] = (int16_t)count;
            }
            squares[first] = least;
        }
    }
}

void balance_layers(const double *layer_costs, int layers, double first_cost, double last_cost,
                    int stages, Range *ranges)
{
    PAL_ASSERT(stages >= 1 && stages <= layers && layers <= BALANCE_MOST_LAYERS);
    PAL_ASSERT(first_cost >= 0 && last_cost >= 0);
    for (int l = 0; l < layers; l++) PAL_ASSERT(layer_costs[l] >= 0);
    const Work work = {.layer_costs = layer_costs,
                       .first_cost = first_cost,
                       .last_cost = last_cost,
                       .layers = layers,
                       .stages = stages};

    /* 130 KB of stack, once at the start. */
    int16_t counts[BALANCE_MOST_LAYERS][BALANCE_MOST_LAYERS + 1] = {{0}};
    choose_counts(&work, least_largest_cost(&work), counts);
    int first = 0;
    for (int stage = 0; stage < stages; stage++) {
        ranges[stage] = (Range){.first = first, .count = counts[stage][first]};
        first += counts[stage][first];
    }
    PAL_ASSERT(first == layers);
}

Status balance_from_list(const int *counts, int num_counts, int layers, int stages, Range *ranges)
{
    PAL_ASSERT(stages >= 1);
    if (num_counts != stages)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "parallel.layers_per_stage has %d entries, expected %d, one per stage of "
                 "parallel.pipeline; leave the key out to have the layers balanced",
                 num_counts, stages);
    int64_t sum = 0;
    for (int stage = 0; stage < stages; stage++) {
        if (counts[stage] < 1)
            PAL_FAIL(PAL_ERROR_CONFIG,
                     "parallel.layers_per_stage gives %d layers to stage %d (stages count from 0), "
                     "expected 1 at least; use fewer stages, or leave the key out to have the "
                     "layers balanced",
                     counts[stage], stage);
        sum += counts[stage];
    }
    if (sum != layers)
        PAL_FAIL(PAL_ERROR_CONFIG,
                 "parallel.layers_per_stage has the sum %lld, expected model.layers = %d; change "
                 "an entry by %lld, or leave the key out to have the layers balanced",
                 (long long)sum, layers, (long long)(layers - sum));

    int first = 0;
    for (int stage = 0; stage < stages; stage++) {
        ranges[stage] = (Range){.first = first, .count = counts[stage]};
        first += counts[stage];
    }
    return PAL_OK;
}
