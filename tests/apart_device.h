/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose memory is apart from the host's and whose operations end late, without a GPU: for
 * tests of what ranks exchange. It has the operations that these need and nothing else.
 *
 *   - Host code that touches its memory is killed; with `open` it may, as MPI does that is handed
 *     the addresses.
 *   - What is begun is only written down, and done when somebody waits for it: a wait that is
 *     missing shows as numbers of before. Eager: operations begun after the mark are done as well,
 *     and before the copies to the host, which a device is free to do.
 *   - Copies that are begun must be to and from memory of allocate_host.
 */
#ifndef PAL_TESTS_APART_DEVICE_H
#define PAL_TESTS_APART_DEVICE_H

#include "mpi/staging.h"

/* How numbers come to MPI in a test. */
typedef enum Way { WAY_SHARED, WAY_STAGED, WAY_STAGED_EAGER, WAY_DIRECT, NUM_WAYS } Way;
extern const char *const way_names[NUM_WAYS];

Device *apart_device_create(bool eager, bool open);

/* Collective over all ranks. A device for this way, the CPU's or one of the above, which the grid
 * uses, and an arena on it. */
Status way_begin(Way way, Grid *grid, Device **device, Arena **arena);
void way_end(Grid *grid, Device **device, Arena **arena);

/* A copy of the host's numbers on the device, as long as the arena; and a copy back. */
Real *numbers_on(Device *device, Arena *arena, const Real *from, int64_t count);
void numbers_read(Device *device, Real *to, const Real *from, int64_t count);

#endif
