/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/arguments.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 28 };

static void print_help(const Command *command, const Option *options, int num_options)
{
    printf("palimpsest %s %s\n\n%s\n", command->name, command->synopsis, command->summary);
    if (command->details != NULL) printf("\n%s\n", command->details);
    printf("\nOptions:\n");
    for (int i = 0; i < num_options; i++) {
        char left[64];
        bool is_short = options[i].name[1] == '\0';
        snprintf(left, sizeof left, "  %s%s %s", is_short ? "-" : "--", options[i].name,
                 options[i].argument == NULL ? "" : options[i].argument);
        printf("%-*s %s\n", HELP_COLUMN, left, options[i].help);
    }
    printf("%-*s %s\n", HELP_COLUMN, "  --help", "this page");
}

static const Option *find_option(const Option *options, int count, const char *argument)
{
    const char *name = argument + (argument[1] == '-' ? 2 : 1);
    size_t length = strcspn(name, "=");
    for (int i = 0; i < count; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static Status unknown_option(const Command *command, const Option *options, int count,
                             const char *argument)
{
    char known[512] = "";
    for (int i = 0; i < count; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, " %s%s", options[i].name[1] ? "--" : "-",
                 options[i].name);
    }
    PAL_FAIL(PAL_ERROR_USAGE, "%s: unknown option '%s'; it has%s --help", command->name, argument,
             known);
}

static Status store(const Command *command, const Option *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    switch (option->type) {
    case OPTION_FLAG: *(bool *)option->value = true; return PAL_OK;
    case OPTION_TEXT: *(const char **)option->value = text; return PAL_OK;
    case OPTION_LIST: {
        TextList *list = option->value;
        if (list->count == PAL_MAX_LISTED)
            PAL_FAIL(PAL_ERROR_USAGE, "%s: more than %d times --%s", command->name, PAL_MAX_LISTED,
                     option->name);
        list->texts[list->count++] = text;
        return PAL_OK;
    }
    case OPTION_INTEGER: *(int64_t *)option->value = strtoll(text, &end, 10); break;
    case OPTION_NUMBER: *(double *)option->value = strtod(text, &end); break;
    }
    if (end == text || *end != '\0' || errno != 0)
        PAL_FAIL(PAL_ERROR_USAGE, "%s: --%s wants %s, not '%s'", command->name, option->name,
                 option->type == OPTION_INTEGER ? "a whole number" : "a number", text);
    return PAL_OK;
}

/* One option at argv[*at]; moves past its value. */
static Status parse_option(const Command *command, const Option *options, int num_options, int argc,
                           char **argv, int *at)
{
    const char *argument = argv[*at];
    const Option *option = find_option(options, num_options, argument);
    if (option == NULL) return unknown_option(command, options, num_options, argument);

    const char *equals = strchr(argument, '=');
    if (option->type == OPTION_FLAG) {
        if (equals != NULL)
            PAL_FAIL(PAL_ERROR_USAGE, "%s: --%s takes no value", command->name, option->name);
        return store(command, option, NULL);
    }
    if (equals != NULL) return store(command, option, equals + 1);
    if (*at + 1 == argc)
        PAL_FAIL(PAL_ERROR_USAGE, "%s: %s wants a value (%s)", command->name, argument,
                 option->argument);
    return store(command, option, argv[++*at]);
}

/* --help as an option; behind an option that wants a value it is that value. */
static bool asks_for_help(const Option *options, int num_options, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
        bool is_option = argv[i][0] == '-' && argv[i][1] != '\0';
        const Option *option = is_option ? find_option(options, num_options, argv[i]) : NULL;
        if (option != NULL && option->type != OPTION_FLAG && strchr(argv[i], '=') == NULL) i++;
    }
    return false;
}

Status arguments_parse(const Command *command, const Option *options, int num_options, int argc,
                       char **argv, const char **positional, int num_positional, bool speaks,
                       bool *helped)
{
    *helped = asks_for_help(options, num_options, argc, argv);
    if (*helped && speaks) print_help(command, options, num_options);
    if (*helped) return PAL_OK;

    int found = 0;
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            PAL_TRY(parse_option(command, options, num_options, argc, argv, &i));
        } else if (found < num_positional) {
            positional[found++] = argv[i];
        } else {
            PAL_FAIL(PAL_ERROR_USAGE, "%s: '%s' is one argument too many; use: palimpsest %s %s",
                     command->name, argv[i], command->name, command->synopsis);
        }
    }
    if (found < num_positional)
        PAL_FAIL(PAL_ERROR_USAGE, "%s: too few arguments; use: palimpsest %s %s", command->name,
                 command->name, command->synopsis);
    return PAL_OK;
}
