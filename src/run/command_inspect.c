/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest inspect FILE
 */
#include "mpi/collectives.h"
#include "src/run/commands.h"
#include "src/run/inspection.h"

Status command_inspect(const Command *command, Grid *grid, int argc, char **argv)
{
    const char *path = NULL;
    bool documents = false, helped;
    const Option options[] = {
        {"documents", OPTION_FLAG, &documents, NULL,
         "of a data file: every document of each split"},
    };
    PAL_TRY(arguments_parse(command, options, 1, argc, argv, &path, 1, group_is_root(&grid->world),
                            &helped));
    if (helped) return PAL_OK;

    Status status = group_is_root(&grid->world) ? inspect_path(path, documents) : PAL_OK;
    return group_agree(&grid->world, status);
}
