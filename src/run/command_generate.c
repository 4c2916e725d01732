/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest generate CHECKPOINT [--prompt TEXT | --prompt-file FILE]
 *
 * The text, and nothing else, goes to stdout; what the program says about it to stderr.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/commands.h"
#include "src/run/generation.h"
#include "src/run/trained.h"

typedef struct GenerateArguments {
    const char *checkpoint, *prompt, *prompt_file;
    TextList sets;
    GenerationOptions options;
} GenerateArguments;

static Status read_all(FILE *file, const char *path, char **text, size_t *length)
{
    size_t room = 0, read = 0;
    *text = NULL;
    *length = 0;
    do {
        if (*length == room) {
            room = 2 * room + 65536;
            char *grown = realloc(*text, room);
            if (grown == NULL)
                PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for a prompt of %zu bytes", path,
                         room);
            *text = grown;
        }
        read = fread(*text + *length, 1, room - *length, file);
        *length += read;
    } while (read > 0);
    if (ferror(file))
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: the prompt cannot be read: %s", path, strerror(errno));
    if (*length == 0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: the prompt is empty; put some text there, or leave out --prompt-file to "
                 "start at the beginning of a document",
                 path);
    return PAL_OK;
}

/* The prompt with its length; *text is the caller's to free. Without one both stay 0. */
static Status read_prompt(GenerateArguments *arguments, char **text)
{
    GenerationOptions *options = &arguments->options;
    const char *path = arguments->prompt_file;
    if (arguments->prompt != NULL && path != NULL)
        PAL_FAIL(PAL_ERROR_USAGE, "generate: --prompt and --prompt-file are both given; give one");
    if (arguments->prompt != NULL) {
        if (arguments->prompt[0] == '\0')
            PAL_FAIL(PAL_ERROR_USAGE,
                     "generate: --prompt is empty; give some text, or leave it out to start at the "
                     "beginning of a document");
        options->prompt = arguments->prompt;
        options->prompt_length = strlen(arguments->prompt);
        return PAL_OK;
    }
    if (path == NULL) return PAL_OK;

    FILE *file = fopen(path, "rb");
    if (file == NULL)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: the prompt cannot be read: %s", path, strerror(errno));
    Status status = read_all(file, path, text, &options->prompt_length);
    fclose(file);
    options->prompt = *text;
    return status;
}

static Status check(const GenerateArguments *arguments, const Grid *grid)
{
    if (grid->world.size > 1)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "generate: started on %d ranks, but one writes the text alone; start it without "
                 "mpirun (its threads use all cores)",
                 grid->world.size);
    if (arguments->options.tokens < 1)
        PAL_FAIL(PAL_ERROR_USAGE, "generate: --tokens is %lld; it must be 1 or more",
                 (long long)arguments->options.tokens);
    return sampling_check(&arguments->options.sampling);
}

static Status generate(Trained *trained, const GenerationOptions *options)
{
    Generation generation;
    Status status = generation_create(&generation, &trained->session, &trained->parameters,
                                      &trained->checkpoint->state.tokenizer);
    if (status == PAL_OK) status = session_seal(&trained->session);
    if (status == PAL_OK) status = trained_load(trained, &trained->parameters);
    if (status == PAL_OK) {
        generation_start(&generation);
        status = generation_run(&generation, options, stdout);
    }
    generation_destroy(&generation);
    return status;
}

Status command_generate(const Command *command, Grid *grid, int argc, char **argv)
{
    GenerateArguments arguments = {
        .options = {.sampling = {.temperature = 1.0, .top_p = 1.0}, .tokens = 500, .seed = 1}};
    GenerationOptions *values = &arguments.options;
    const Option options[] = {
        {"prompt", OPTION_TEXT, &arguments.prompt, "TEXT", "what the text begins with"},
        {"prompt-file", OPTION_TEXT, &arguments.prompt_file, "FILE", "the same from a file"},
        {"tokens", OPTION_INTEGER, &values->tokens, "N", "to write after the prompt (default 500)"},
        {"temperature", OPTION_NUMBER, &values->sampling.temperature, "X",
         "below 1 safer, above 1 bolder; 0: always the likeliest (default 1)"},
        {"top-k", OPTION_INTEGER, &values->sampling.top_k, "K",
         "choose among the K likeliest tokens (default 0: all)"},
        {"top-p", OPTION_NUMBER, &values->sampling.top_p, "P",
         "choose among the likeliest that hold P of the probability (default 1: all)"},
        {"seed", OPTION_INTEGER, &values->seed, "S",
         "the same seed gives the same text (default 1)"},
        {"set", OPTION_LIST, &arguments.sets, "SECTION.KEY=VALUE",
         "e.g. model.memory, model.compressed_memory, model.window"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, 8, argc, argv, &arguments.checkpoint, 1,
                            group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    log_to_stderr();
    PAL_TRY(check(&arguments, grid));

    char *text = NULL;
    Trained trained = {0};
    Status status = read_prompt(&arguments, &text);
    if (status == PAL_OK)
        status = trained_open(&trained, grid, arguments.checkpoint, &arguments.sets, USE_READS);
    if (status == PAL_OK) status = generate(&trained, values);
    trained_close(&trained);
    free(text);
    return status;
}
