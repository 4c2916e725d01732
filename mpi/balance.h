/* SPDX-License-Identifier: Apache-2.0
 *
 * Which layers a pipeline stage holds: contiguous ranges, chosen so that the slowest stage is as
 * fast as it can be, or given by hand. Pure arithmetic, no communication, tested without MPI.
 *
 *   cost(stage) = sum of its layers' costs
 *               + first_cost on the first stage (embedding) + last_cost on the last (output layer)
 *
 * Every stage has one layer at least: 1 <= stages <= layers <= BALANCE_MOST_LAYERS.
 */
#ifndef PAL_MPI_BALANCE_H
#define PAL_MPI_BALANCE_H

#include "mpi/partition.h"
#include "src/base/status.h"
#include "src/tensor/model_options.h"

enum { BALANCE_MOST_LAYERS = PAL_MAX_LAYERS };

/* Fills ranges[stages] so that the largest cost of a stage is the least possible, exactly (dynamic
 * programming over all cuts). Costs have any unit and are not negative. Of several best choices,
 * the one with the most even numbers of layers (least sum of their squares); of several such, the
 * one whose earlier stages are shorter, since they keep more micro-batches (pipeline_flights): five
 * equal layers on three stages are 1, 2, 2. Every rank gets the same from the same costs. Local. */
void balance_layers(const double *layer_costs /* (layers) */, int layers, double first_cost,
                    double last_cost, int stages, Range *ranges /* (stages) */);

/* The same from the numbers of layers that parallel.layers_per_stage gives. Local.
 * Errors (configuration): not one number per stage, a number below 1, or a sum that is not
 * `layers`; `ranges` stay as they were. */
Status balance_from_list(const int *counts /* (num_counts) */, int num_counts, int layers,
                         int stages, Range *ranges /* (stages) */);

#endif
