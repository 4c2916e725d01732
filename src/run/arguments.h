/* SPDX-License-Identifier: Apache-2.0
 *
 * Command lines: a table of options per command drives parsing and --help.
 */
#ifndef PAL_RUN_ARGUMENTS_H
#define PAL_RUN_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "mpi/grid.h"
#include "src/base/status.h"

enum { PAL_MAX_LISTED = 64 };

typedef struct TextList {
    const char *texts[PAL_MAX_LISTED]; /* borrowed from argv */
    int count;
} TextList;

typedef enum OptionType {
    OPTION_FLAG,    /* bool */
    OPTION_TEXT,    /* const char * */
    OPTION_LIST,    /* TextList, may be repeated */
    OPTION_INTEGER, /* int64_t */
    OPTION_NUMBER   /* double */
} OptionType;

typedef struct Option {
    const char *name; /* long name; "o" for -o */
    OptionType type;
    void *value;          /* of the type above; keeps its default if absent */
    const char *argument; /* as shown in --help; NULL for a flag */
    const char *help;
} Option;

typedef struct Command {
    const char *name;
    const char *synopsis; /* after the name, e.g. "CONFIG.ini [options]" */
    const char *summary;  /* one line */
    const char *details;  /* paragraphs of --help; may be NULL */
    Status (*run)(const struct Command *command, Grid *grid, int argc, char **argv);
    /* Both from the start of the program on. */
    bool stops_early; /* heeds requests to stop, base/stop.h */
    bool is_watched;  /* tells the watchdog of its progress, run/watchdog.h */
} Command;

/* The table of commands, ended by one without a name. */
extern const Command commands[];

/* Local, same on every rank. `*helped` says that --help was asked for and printed (by the rank that
 * speaks); the command is then done. Error: PAL_ERROR_USAGE, with the known options. */
Status arguments_parse(const Command *command, const Option *options, int num_options, int argc,
                       char **argv, const char **positional, int num_positional, bool speaks,
                       bool *helped);

#endif
