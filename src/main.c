/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest COMMAND ...: finds the command, runs it on all ranks, says once what went wrong.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "io/config.h"
#include "mpi/grid.h"
#include "src/base/log.h"
#include "src/base/stop.h"
#include "src/run/commands.h"
#include "src/run/watchdog.h"

static void print_usage(FILE *out)
{
    fprintf(out, "palimpsest trains Compressive Transformers on book-length text.\n\n"
                 "Use: palimpsest COMMAND ..., or mpirun -n RANKS palimpsest COMMAND ...\n\n");
    for (const Command *c = commands; c->name != NULL; c++)
        fprintf(out, "  %-9s %s\n", c->name, c->summary);
    fprintf(out, "\n  palimpsest COMMAND --help   arguments of a command\n"
                 "  palimpsest --help-config    keys of the configuration file\n"
                 "  palimpsest --version\n\n"
                 "Exit status:\n");
#define PAL_STATUS_LINE(name, value, text) fprintf(out, "  %2d  %s\n", value, text);
    PAL_STATUS_LIST(PAL_STATUS_LINE)
#undef PAL_STATUS_LINE
}

static const Command *find_command(const char *name)
{
    for (const Command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

/* Requests that need no command; false when it is none of them. */
static bool answered(int argc, char **argv, bool speaks)
{
    if (argc < 2) return false;
    bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
    bool keys = strcmp(argv[1], "--help-config") == 0;
    bool version = strcmp(argv[1], "--version") == 0;
    if (speaks && help) print_usage(stdout);
    if (speaks && keys) config_print_help(stdout);
    if (speaks && version) printf("palimpsest %s\n", PAL_VERSION);
    return help || keys || version;
}

static Status dispatch(Grid *grid, int argc, char **argv)
{
    bool speaks = grid->world.rank == 0;
    if (answered(argc, argv, speaks)) return PAL_OK;
    if (argc < 2) {
        if (speaks) print_usage(stderr);
        PAL_FAIL(PAL_ERROR_USAGE, "a command is missing");
    }
    const Command *command = find_command(argv[1]);
    if (command == NULL)
        PAL_FAIL(PAL_ERROR_USAGE, "unknown command '%s'; see palimpsest --help", argv[1]);
    return command->run(command, grid, argc - 2, argv + 2);
}

/* What a command prints is often redirected: a full disk there must not look like success. */
static Status check_output(Status status)
{
    if (status != PAL_OK || (fflush(stdout) == 0 && ferror(stdout) == 0)) return status;
    PAL_FAIL(PAL_ERROR_IO, "what was printed could not all be written (is the disk full?)");
}

int main(int argc, char **argv)
{
    Grid grid;
    const Command *command = argc < 2 ? NULL : find_command(argv[1]);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error like a full disk */
    if (command != NULL && command->stops_early) stop_listen();
    if (command != NULL && command->is_watched) watchdog_start();
    mpi_start(&argc, &argv);
    grid_create_flat(&grid);
    log_set_rank(grid.world.rank, grid.world.rank == 0);

    Status status = check_output(dispatch(&grid, argc, argv));
    if (status == PAL_STOPPED_EARLY)
        log_info("%s", status_message());
    else if (status != PAL_OK && grid.world.rank == 0)
        log_error("%s", status_message());

    log_close_file();
    grid_destroy(&grid);
    mpi_stop();
    return (int)status;
}
