/* SPDX-License-Identifier: Apache-2.0 */
#include "src/layers/positions.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"

PositionAxis positions_recent(const ModelOptions *options, int layer)
{
    return (PositionAxis){0.0, options->memory[layer] + options->window, 1};
}

PositionAxis positions_compressed(const ModelOptions *options, int layer)
{
    int slots = options->compressed_memory[layer];
    double memory = options->memory[layer], rate = options->compression_rate;
    if (slots == 0) return (PositionAxis){0.0, 0, 1};

    /* The distance of the newest slot from query 0 is that of row 0. */
    PositionAxis axis = {0.0, 0, 1};
    switch (options->positions) {
    case POSITIONS_SEPARATE: axis.first_distance = 1.0; break;
    case POSITIONS_CONTIGUOUS: axis.first_distance = memory + 1.0; break;
    case POSITIONS_TEMPORAL:
        axis.first_distance = memory + rate - (rate - 1.0) / 2.0;
        axis.stride = options->compression_rate;
        break;
    }
    axis.rows = (int64_t)axis.stride * (slots - 1) + options->window;
    return axis;
}

Tensor positions_table(PositionTables *tables, Arena *arena, PositionAxis axis, NumberType type,
                       int width)
{
    for (int i = 0; i < tables->count; i++) {
        const PositionAxis *known = &tables->tables[i].axis;
        if (known->first_distance == axis.first_distance && known->rows == axis.rows)
            return tables->tables[i].sinusoids;
    }
    struct PositionTable *table = &tables->tables[tables->count++];
    table->axis = axis;
    table->sinusoids = arena_typed_2d(arena, PURPOSE_POSITIONS, type, axis.rows, width);
    return table->sinusoids;
}

static void fill_sinusoids(Real *row, double distance, int64_t width)
{
    int64_t half = width / 2;
    for (int64_t k = 0; k < half; k++) {
        double angle = distance * pow(10000.0, -2.0 * (double)k / (double)width);
        row[k] = (Real)sin(angle);
        row[half + k] = (Real)cos(angle);
    }
}

void positions_fill(PositionTables *tables, Device *device)
{
    for (int i = 0; i < tables->count; i++) {
        struct PositionTable *table = &tables->tables[i];
        int64_t width = table->sinusoids.dims[1];
        Real *host =
            fatal_calloc(checked_size(table->axis.rows * width), sizeof *host, "positions");
#pragma omp parallel for num_threads(device->threads)
        for (int64_t p = 0; p < table->axis.rows; p++)
            fill_sinusoids(host + p * width, table->axis.first_distance + (double)p, width);
        device->op->upload(device, table->sinusoids, host);
        free(host);
    }
}
