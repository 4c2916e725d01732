/* SPDX-License-Identifier: Apache-2.0
 *
 * The commands of the program, one file each (command_*.c). Every rank calls a command with the
 * same arguments; all of them return the same status.
 */
#ifndef PAL_RUN_COMMANDS_H
#define PAL_RUN_COMMANDS_H

#include "src/run/arguments.h"

Status command_decode(const Command *command, Grid *grid, int argc, char **argv);
Status command_prepare(const Command *command, Grid *grid, int argc, char **argv);
Status command_train(const Command *command, Grid *grid, int argc, char **argv);
Status command_evaluate(const Command *command, Grid *grid, int argc, char **argv);
Status command_generate(const Command *command, Grid *grid, int argc, char **argv);
Status command_inspect(const Command *command, Grid *grid, int argc, char **argv);
Status command_verify(const Command *command, Grid *grid, int argc, char **argv);
Status command_convert(const Command *command, Grid *grid, int argc, char **argv);
Status command_bench(const Command *command, Grid *grid, int argc, char **argv);

#endif
