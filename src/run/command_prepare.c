/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest prepare DIR|FILE -o data.h5
 */
#include "io/prepare.h"
#include "mpi/collectives.h"
#include "src/run/commands.h"

Status command_prepare(const Command *command, Grid *grid, int argc, char **argv)
{
    PrepareOptions prepare = {.tokenizer = "bytes"};
    const Option options[] = {
        {"o", OPTION_TEXT, &prepare.output, "FILE.h5", "the data file to write"},
        {"tokenizer", OPTION_TEXT, &prepare.tokenizer, "NAME", "bytes (the default)"},
        {"split-at", OPTION_TEXT, &prepare.split_at, "A,B",
         "of a FILE: bytes where validation and test begin (default: 90 % and 95 %)"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 3, argc, argv, &prepare.input, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    if (prepare.output == NULL) PAL_FAIL(PAL_ERROR_USAGE, "prepare: where to? Give -o data.h5");
    return prepare_data(&prepare, &grid->world);
}
