/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest prepare DIR|FILE -o data.h5
 */
#include "io/prepare.h"
#include "mpi/collectives.h"
#include "src/run/commands.h"
#include "src/run/watchdog.h"

Status command_prepare(const Command *command, Grid *grid, int argc, char **argv)
{
    PrepareOptions prepare = {.tokenizer = "bytes"};
    Config defaults;
    config_defaults(&defaults);
    double patience = defaults.watchdog.start;
    const Option options[] = {
        {"o", OPTION_TEXT, &prepare.output, "FILE.h5", "the data file to write"},
        {"tokenizer", OPTION_TEXT, &prepare.tokenizer, "NAME", "bytes (the default)"},
        {"split-at", OPTION_TEXT, &prepare.split_at, "A,B",
         "of a FILE: bytes where validation and test begin (default: 90 % and 95 %)"},
        {"watchdog", OPTION_NUMBER, &patience, "SECONDS",
         "ends with status 71 when no text has been read for so long (default 1200; 0: never)"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 4, argc, argv, &prepare.input, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    if (prepare.output == NULL) PAL_FAIL(PAL_ERROR_USAGE, "prepare: where to? Give -o data.h5");
    if (!(patience >= 0.0 && patience <= 1e9))
        PAL_FAIL(PAL_ERROR_USAGE, "prepare: --watchdog %g: expected seconds, 0 for no limit",
                 patience);
    const WatchdogConfig limits = {.start = patience};
    watchdog_know(&limits, grid, NULL);
    return prepare_data(&prepare, &grid->world);
}
