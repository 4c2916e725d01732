/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/grid.h"

#include <stdint.h>
#include <stdlib.h>

#include "mpi/check.h"
#include "mpi/collectives.h"
#include "mpi/staging.h"
#include "src/base/fatal.h"

void mpi_failed(int error, const char *call, const char *file, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown";
    int length = 0;
    MPI_Error_string(error, text, &length);
    fatal(PAL_ERROR_UNAVAILABLE, "%s failed at %s:%d: %s", call, file, line, text);
}

static void end_all_ranks(int exit_status) { MPI_Abort(MPI_COMM_WORLD, exit_status); }

/* Open MPI's own MPI-IO keeps shared file pointers, which nothing here uses, by one of several
 * components. With `sm` a process that is killed leaves a semaphore of the node held that has the
 * last part of the file's name, and every later run there that writes a file of this name, in
 * whatever folder, waits for ever. `lockedfile` leaves files beside it, and overruns its memory
 * where paths have 245 letters. Whoever has chosen otherwise is left alone. */
static void choose_file_pointers(void) { (void)setenv("OMPI_MCA_sharedfp", "^sm,lockedfile", 0); }

void mpi_start(int *argc, char ***argv)
{
    choose_file_pointers();
    int provided = 0;
    PAL_MPI(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
    PAL_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    fatal_set_end(end_all_ranks);
    if (provided < MPI_THREAD_FUNNELED)
        fatal(PAL_ERROR_UNAVAILABLE, "this MPI library cannot be used from a threaded program; use "
                                     "one built with thread support");
}

void mpi_stop(void) { PAL_MPI(MPI_Finalize()); }

static void fill_group(Group *group, const char *name, Traffic *traffic, struct Staging *staging)
{
    group->name = name;
    group->traffic = traffic;
    group->staging = staging;
    PAL_MPI(MPI_Comm_set_errhandler(group->comm, MPI_ERRORS_RETURN));
    PAL_MPI(MPI_Comm_rank(group->comm, &group->rank));
    PAL_MPI(MPI_Comm_size(group->comm, &group->size));
}

static Group split(const Group *parent, const char *name, int color)
{
    Group group;
    PAL_MPI(MPI_Comm_split(parent->comm, color, parent->rank, &group.comm));
    fill_group(&group, name, parent->traffic, parent->staging);
    return group;
}

static void split_all(Grid *grid, GridShape shape)
{
    const GridPlace own = grid_place(shape, grid->world.rank);
    grid->data = split(&grid->world, "data", own.pipeline * shape.tensor + own.tensor);
    grid->pipeline = split(&grid->world, "pipeline", own.data * shape.tensor + own.tensor);
    grid->tensor = split(&grid->world, "tensor", own.data * shape.pipeline + own.pipeline);
    bool end = own.pipeline == 0 || own.pipeline == shape.pipeline - 1;
    grid->ends = split(&grid->pipeline, "ends", end ? 0 : 1 + own.pipeline);
}

void grid_create_flat(Grid *grid)
{
    grid->traffic = (Traffic){0};
    PAL_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &grid->world.comm));
    fill_group(&grid->world, "world", &grid->traffic, NULL);
    PAL_MPI(MPI_Comm_split_type(grid->world.comm, MPI_COMM_TYPE_SHARED, grid->world.rank,
                                MPI_INFO_NULL, &grid->node.comm));
    fill_group(&grid->node, "node", &grid->traffic, NULL);
    split_all(grid, (GridShape){grid->world.size, 1, 1});
}

static void free_split_groups(Grid *grid)
{
    PAL_MPI(MPI_Comm_free(&grid->data.comm));
    PAL_MPI(MPI_Comm_free(&grid->pipeline.comm));
    PAL_MPI(MPI_Comm_free(&grid->tensor.comm));
    PAL_MPI(MPI_Comm_free(&grid->ends.comm));
}

void grid_create(Grid *grid, GridShape shape)
{
    PAL_ASSERT(shape.data * shape.pipeline * shape.tensor == grid->world.size);
    free_split_groups(grid);
    split_all(grid, shape);
}

bool grid_tensor_in_node(const Grid *grid)
{
    MPI_Comm near;
    int size = 0;
    PAL_MPI(MPI_Comm_split_type(grid->tensor.comm, MPI_COMM_TYPE_SHARED, grid->tensor.rank,
                                MPI_INFO_NULL, &near));
    PAL_MPI(MPI_Comm_size(near, &size));
    PAL_MPI(MPI_Comm_free(&near));
    unsigned char outside = size != grid->tensor.size;
    group_or(&grid->world, &outside, 1);
    return outside == 0;
}

void grid_destroy(Grid *grid)
{
    grid_forget_device(grid);
    free_split_groups(grid);
    PAL_MPI(MPI_Comm_free(&grid->node.comm));
    PAL_MPI(MPI_Comm_free(&grid->world.comm));
}
