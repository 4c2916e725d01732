/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/grid.h"

#include <stdint.h>

#include "mpi/check.h"
#include "src/base/fatal.h"

void mpi_failed(int error, const char *call, const char *file, int line)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown";
    int length = 0;
    MPI_Error_string(error, text, &length);
    fatal(PAL_ERROR_UNAVAILABLE, "%s failed at %s:%d: %s", call, file, line, text);
}

static void end_all_ranks(int exit_status) { MPI_Abort(MPI_COMM_WORLD, exit_status); }

void mpi_start(int *argc, char ***argv)
{
    int provided = 0;
    PAL_MPI(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided));
    PAL_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    fatal_set_end(end_all_ranks);
    if (provided < MPI_THREAD_FUNNELED)
        fatal(PAL_ERROR_UNAVAILABLE, "this MPI library cannot be used from a threaded program; use "
                                     "one built with thread support");
}

void mpi_stop(void) { PAL_MPI(MPI_Finalize()); }

static void fill_group(Group *group)
{
    PAL_MPI(MPI_Comm_set_errhandler(group->comm, MPI_ERRORS_RETURN));
    PAL_MPI(MPI_Comm_rank(group->comm, &group->rank));
    PAL_MPI(MPI_Comm_size(group->comm, &group->size));
}

static Group split(const Group *parent, int color)
{
    Group group;
    PAL_MPI(MPI_Comm_split(parent->comm, color, parent->rank, &group.comm));
    fill_group(&group);
    return group;
}

static void split_all(Grid *grid, GridShape shape)
{
    int rank = grid->world.rank;
    int tensor = rank % shape.tensor;
    int pipeline = rank / shape.tensor % shape.pipeline;
    int data = rank / (shape.tensor * shape.pipeline);

    grid->data = split(&grid->world, pipeline * shape.tensor + tensor);
    grid->pipeline = split(&grid->world, data * shape.tensor + tensor);
    grid->tensor = split(&grid->world, data * shape.pipeline + pipeline);
}

void grid_create_flat(Grid *grid)
{
    PAL_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &grid->world.comm));
    fill_group(&grid->world);
    PAL_MPI(MPI_Comm_split_type(grid->world.comm, MPI_COMM_TYPE_SHARED, grid->world.rank,
                                MPI_INFO_NULL, &grid->node.comm));
    fill_group(&grid->node);
    split_all(grid, (GridShape){grid->world.size, 1, 1});
}

static void free_split_groups(Grid *grid)
{
    PAL_MPI(MPI_Comm_free(&grid->data.comm));
    PAL_MPI(MPI_Comm_free(&grid->pipeline.comm));
    PAL_MPI(MPI_Comm_free(&grid->tensor.comm));
}

Status grid_create(Grid *grid, GridShape shape)
{
    int ranks = grid->world.size;
    if (shape.tensor == 0) shape.tensor = 1;
    if (shape.pipeline == 0) shape.pipeline = 1;
    int64_t replica = (int64_t)shape.pipeline * shape.tensor;
    if (shape.data == 0) shape.data = replica < ranks ? (int)(ranks / replica) : 1;
    if (replica > ranks || shape.data * replica != ranks)
        PAL_FAIL(
            PAL_ERROR_CONFIG,
            "parallel: data %d x pipeline %d x tensor %d needs %lld ranks, but %d were started; "
            "start that many, or set parallel.data = auto",
            shape.data, shape.pipeline, shape.tensor, (long long)(shape.data * replica), ranks);
    free_split_groups(grid);
    split_all(grid, shape);
    return PAL_OK;
}

void grid_destroy(Grid *grid)
{
    free_split_groups(grid);
    PAL_MPI(MPI_Comm_free(&grid->node.comm));
    PAL_MPI(MPI_Comm_free(&grid->world.comm));
}
