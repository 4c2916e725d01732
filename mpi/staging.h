/* SPDX-License-Identifier: Apache-2.0
 *
 * How a device's numbers come to MPI, and what MPI has received to them.
 *
 * Where host code shares the device's memory (the CPU device) there is nothing to do: a group has
 * no Staging, and MPI gets the addresses of the numbers. For any other device one of two ways is
 * chosen once, for all ranks:
 *
 *     staged   MPI gets host memory that copies are fast to and from. Long numbers go in pieces:
 *              while MPI moves one, the next is on its way down and the one before on its way up
 *     direct   MPI gets addresses of the device's memory wherever it can work with them: messages
 *              between pairs and gathers that are waited for. Sums, and collectives that are begun
 *              for later, go through host memory all the same: Open MPI adds on the host and does
 *              not do either on a GPU's memory, or ends with a segmentation fault (ompi#9845,
 *              #12045)
 *
 * In both ways MPI comes after what the device was asked for before, and what is asked for later
 * comes after MPI. Sums are cut alike in both, so they have the same bits.
 *
 * For the files of mpi/ except grid_use_device() and grid_forget_device().
 */
#ifndef PAL_MPI_STAGING_H
#define PAL_MPI_STAGING_H

#include <stdbool.h>
#include <stdint.h>

#include "mpi/grid.h"
#include "src/base/status.h"
#include "src/tensor/arena.h"
#include "src/tensor/device.h"

typedef enum DeviceMpi { DEVICE_MPI_AUTO, DEVICE_MPI_DIRECT, DEVICE_MPI_STAGED } DeviceMpi;

/* Collective over all ranks, once the device is there and before anything is created for its
 * numbers; holds for the groups of the grid now and after grid_create(). Takes the memory for
 * pieces from the arena and says in the log what was chosen; sets device->mpi_reaches_it. The
 * device, of one kind on all ranks, outlives the use. Error (configuration): `direct` where MPI does
 * not say that it can. */
Status grid_use_device(Grid *grid, Device *device, Arena *arena, DeviceMpi wish);

/* Local. Back to numbers in host memory; before the arena and the device are destroyed. */
void grid_forget_device(Grid *grid);

/* --- for the files of mpi/ -------------------------------------------------------------------- */

enum { STAGING_NUMBERS = 1 << 20, STAGING_SLOTS = 2 };

typedef struct Transfer Transfer;

typedef struct Staging {
    Device *device; /* borrowed */
    bool direct;
    Real *send[STAGING_SLOTS], *receive[STAGING_SLOTS]; /* (STAGING_NUMBERS) each, the arena's */
    int64_t newest, ended;  /* marks: set last; known to have been reached */
    Transfer *first, *last; /* begun, not yet handed over to MPI (transfers.h) */
} Staging;

/* What has been begun so far, and the wait for it. */
int64_t staging_mark(Staging *staging);
void staging_wait(Staging *staging, int64_t mark);

/* Something whose numbers pass through host memory piece by piece. */
typedef struct PieceWork {
    int64_t pieces;
    /* Begins the copies of a piece's numbers from the device to `to` ... */
    void (*download)(const void *context, Device *device, int64_t piece, Real *to);
    /* ... what MPI does when they are there ... */
    void (*move)(const void *context, int64_t piece, Real *receive, Real *send);
    /* ... and begins the copies of what was received. At most STAGING_NUMBERS each way. */
    void (*upload)(const void *context, Device *device, int64_t piece, const Real *from);
} PieceWork;

/* The device's operations begun afterwards find what was received. */
void staging_run(Staging *staging, const PieceWork *work, const void *context);

#endif
