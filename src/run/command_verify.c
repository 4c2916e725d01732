/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest verify CHECKPOINT
 */
#include "io/checkpoint.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/timer.h"
#include "src/run/commands.h"
#include "src/run/machine.h"

static Status verify(const char *path, const Group *world)
{
    Checkpoint *checkpoint = NULL;
    int64_t bytes = 0;
    double start = timer_seconds();
    PAL_TRY(checkpoint_open(&checkpoint, path, world));
    Status status = checkpoint_verify(checkpoint, "/", &bytes);
    double seconds = timer_seconds() - start, size = (double)bytes / MEBIBYTE;
    if (status == PAL_OK)
        log_info("%s: whole; update %lld, %.1f MiB checked in %.2f s, %.0f MiB/s", path,
                 (long long)checkpoint->state.update, size, seconds, size / seconds);
    checkpoint_close(&checkpoint);
    return status;
}

Status command_verify(const Command *command, Grid *grid, int argc, char **argv)
{
    const char *path = NULL;
    char found[PAL_PATH_SIZE];
    bool helped;
    const Group *world = &grid->world;
    PAL_TRY(arguments_parse(command, NULL, 0, argc, argv, &path, 1, group_is_root(world), &helped));
    if (helped) return PAL_OK;

    PAL_TRY(checkpoint_find_for(world, path, found));
    return verify(found, world);
}
