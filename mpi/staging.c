/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/staging.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#ifdef OPEN_MPI
#include <mpi-ext.h> /* knows what MPIX_CUDA_AWARE_SUPPORT is */
#endif

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"

/* For MPI libraries that take device addresses without saying so, and for tests. */
#define VARIABLE "PALIMPSEST_MPI_REACHES_DEVICE"

/* --- the choice ------------------------------------------------------------------------------- */

static bool mpi_says_that_it_can(void)
{
#ifdef MPIX_CUDA_AWARE_SUPPORT
    return MPIX_Query_cuda_support() == 1;
#else
    return false;
#endif
}

static bool user_says_that_it_can(void)
{
    const char *value = getenv(VARIABLE);
    return value != NULL && strcmp(value, "1") == 0;
}

static Status refuse_direct(const Device *device)
{
    PAL_FAIL(PAL_ERROR_CONFIG,
             "device.mpi = direct, but this MPI library does not say that it can work with the "
             "memory of the %s device; look at 'ompi_info --parsable --all | grep "
             "mpi_built_with_cuda_support', load an MPI library built with CUDA, set device.mpi = "
             "staged, or " VARIABLE "=1 if you know that it can",
             device->op->name);
}

/* All ranks choose alike: they cut sums into the same pieces. */
static Status choose(const Group *world, const Device *device, DeviceMpi wish, bool *direct)
{
    unsigned char cannot = !mpi_says_that_it_can(), cannot_anyhow = cannot;
    if (user_says_that_it_can()) cannot_anyhow = false;
    group_or(world, &cannot, 1);
    Status status = PAL_OK;
    bool sends = world->size > 1;
    if (wish == DEVICE_MPI_DIRECT && cannot_anyhow && sends) status = refuse_direct(device);
    PAL_TRY(group_agree(world, status));
    *direct = wish == DEVICE_MPI_DIRECT || (wish == DEVICE_MPI_AUTO && cannot == 0);
    log_info("mpi: %s: numbers of the %s device %s (device.mpi = %s; this MPI library says that it "
             "%s)",
             *direct ? "direct" : "staged", device->op->name,
             *direct ? "are sent and received by their addresses there; sums and gathers under way "
                       "go through host memory"
                     : "go through host memory",
             wish == DEVICE_MPI_AUTO     ? "auto"
             : wish == DEVICE_MPI_DIRECT ? "direct"
                                         : "staged",
             cannot == 0 ? "is CUDA-aware" : "is not CUDA-aware");
    return PAL_OK;
}

static void point_to(Grid *grid, Staging *staging)
{
    Group *const groups[] = {&grid->world,  &grid->data, &grid->pipeline,
                             &grid->tensor, &grid->ends, &grid->node};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) groups[i]->staging = staging;
}

/* Of ranks that are alone nothing is sent. */
static void take_slots(Staging *staging, const Group *world, Arena *arena)
{
    const size_t bytes = STAGING_NUMBERS * sizeof(Real);
    for (int i = 0; i < STAGING_SLOTS && world->size > 1; i++) {
        staging->send[i] = arena_host(arena, PURPOSE_EXCHANGE, bytes);
        staging->receive[i] = arena_host(arena, PURPOSE_EXCHANGE, bytes);
    }
}

Status grid_use_device(Grid *grid, Device *device, Arena *arena, DeviceMpi wish)
{
    bool direct;
    grid_forget_device(grid);
    if (device->shares_memory) return PAL_OK;
    PAL_TRY(choose(&grid->world, device, wish, &direct));
    device->mpi_reaches_it = direct;
    Staging *staging = fatal_calloc(1, sizeof *staging, "the way of numbers to MPI");
    *staging = (Staging){.device = device, .direct = direct};
    take_slots(staging, &grid->world, arena);
    point_to(grid, staging);
    return PAL_OK;
}

void grid_forget_device(Grid *grid)
{
    free(grid->world.staging);
    point_to(grid, NULL);
}

/* --- marks and pieces ------------------------------------------------------------------------- */

int64_t staging_mark(Staging *staging)
{
    staging->newest = staging->device->op->mark(staging->device);
    return staging->newest;
}

/* Marks are reached in their order. One that is too old to be asked for has younger ones. */
void staging_wait(Staging *staging, int64_t mark)
{
    if (mark <= staging->ended) return;
    if (staging->newest - mark >= PAL_MARKS / 2) mark = staging->newest;
    staging->device->op->wait(staging->device, mark);
    staging->ended = mark;
}

/* Copies are done in the order in which they were begun: when the numbers of this piece are there,
 * those of the last one that lay in `receive` have left it. */
static void move_piece(Staging *staging, const PieceWork *work, const void *context, int64_t piece,
                       int64_t downloaded)
{
    int slot = (int)(piece % STAGING_SLOTS);
    staging_wait(staging, downloaded);
    work->move(context, piece, staging->receive[slot], staging->send[slot]);
    work->upload(context, staging->device, piece, staging->receive[slot]);
}

void staging_run(Staging *staging, const PieceWork *work, const void *context)
{
    int64_t downloaded[STAGING_SLOTS];
    for (int64_t piece = 0; piece <= work->pieces; piece++) {
        if (piece < work->pieces) {
            int slot = (int)(piece % STAGING_SLOTS);
            work->download(context, staging->device, piece, staging->send[slot]);
            downloaded[slot] = staging_mark(staging);
        }
        if (piece > 0)
            move_piece(staging, work, context, piece - 1, downloaded[(piece - 1) % STAGING_SLOTS]);
    }
}
