/* SPDX-License-Identifier: Apache-2.0
 *
 * The process grid: ranks = data x pipeline x tensor, tensor fastest, so that a tensor group lies
 * in one node. Communicators are built once, here; MPI_COMM_WORLD appears nowhere else.
 */
#ifndef PAL_MPI_GRID_H
#define PAL_MPI_GRID_H

#include <mpi.h>
#include <stdbool.h>

#include "mpi/grid_shape.h"
#include "mpi/traffic.h"

/* Ranks that do something together. In a group of one no MPI call is made. */
typedef struct Group {
    const char *name; /* in reports: "world", "data", ... */
    MPI_Comm comm;
    int rank, size;
    Traffic *traffic;        /* of this rank in all its groups; borrowed from the grid */
    struct Staging *staging; /* NULL: numbers are in host memory; else staging.h. The grid's */
} Group;

typedef struct Grid {
    Group world;    /* all ranks */
    Group data;     /* same layers and slices, other rows */
    Group pipeline; /* same rows, other layers */
    Group tensor;   /* same rows and layers, other slices */
    Group ends;     /* first and last stage of a pipeline: both have the tied table; else alone */
    Group node;     /* the ranks that share this rank's memory */
    Traffic traffic;
} Grid;

/* Collective over all ranks; once per process, before anything else of MPI. From here on fatal()
 * ends all ranks. */
void mpi_start(int *argc, char ***argv);
/* Collective over all ranks; the last MPI call of the process. */
void mpi_stop(void);

/* Collective over all ranks; mpi_start came before. The groups without a shape: all ranks in data.
 * Used before the configuration is known. */
void grid_create_flat(Grid *grid);

/* Collective over all ranks; replaces a flat grid by one of this shape (grid_shape.h), whose
 * product is the number of ranks. */
void grid_create(Grid *grid, GridShape shape);

/* Collective over all ranks. Whether every tensor group lies within one node. */
bool grid_tensor_in_node(const Grid *grid);

/* Collective over all ranks. */
void grid_destroy(Grid *grid);

#endif
