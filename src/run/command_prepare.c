/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest prepare DIR|FILE -o data.h5
 */
#include "io/text/prepare.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/commands.h"
#include "src/run/machine.h"
#include "src/run/watchdog.h"

static void print_peak(const Group *world)
{
    double peak = machine_peak_bytes();
    group_max_double(world, &peak, 1);
    log_info("peak resident memory %.1f MiB per rank, at most", peak / MEBIBYTE);
}

Status command_prepare(const Command *command, Grid *grid, int argc, char **argv)
{
    PrepareOptions prepare = {.tokenizer = "bytes", .subwords.algorithm = "unigram"};
    TextSourceOptions *source = &prepare.source;
    Config defaults;
    config_defaults(&defaults);
    double patience = defaults.watchdog.start, sample = 64.0;
    const Option options[] = {
        {"o", OPTION_TEXT, &prepare.output, "FILE.h5", "the data file to write"},
        {"tokenizer", OPTION_TEXT, &prepare.tokenizer, "NAME",
         "bytes (the default), words, or sentencepiece; the last two learn from the training "
         "split"},
        {"tokenizer-from", OPTION_TEXT, &prepare.tokenizer_from, "FILE",
         "take the tokenizer of this data file, checkpoint or run; then train may be missing"},
        {"vocab", OPTION_INTEGER, &prepare.vocabulary, "N",
         "tokens in all (default 0: every word; 32000 subwords)"},
        {"subwords", OPTION_TEXT, &prepare.subwords.algorithm, "NAME",
         "unigram (the default) or bpe, for sentencepiece"},
        {"sample", OPTION_NUMBER, &sample, "MB", "of text to learn subwords from (default 64)"},
        {"split-at", OPTION_TEXT, &source->split_at, "A,B",
         "of a FILE: bytes where validation and test begin (default: 90 % and 95 %)"},
        {"subset", OPTION_FLAG, &source->subset, NULL,
         "PG-19: metadata.csv may name books that are not there, and leave some out"},
        {"keep-invalid", OPTION_FLAG, &prepare.keep_invalid, NULL,
         "keep bytes that are not UTF-8 as they are, instead of ending there"},
        {"allow-html", OPTION_FLAG, &prepare.allow_html, NULL, "documents may be HTML"},
        {"watchdog", OPTION_NUMBER, &patience, "SECONDS",
         "ends with status 71 when no text has been read for so long (default 1200; 0: never)"},
    };
    bool helped;
    PAL_TRY(arguments_parse(command, options, sizeof options / sizeof *options, argc, argv,
                            &source->input, 1, group_is_root(&grid->world), &helped));
    if (helped) return PAL_OK;
    if (prepare.output == NULL) PAL_FAIL(PAL_ERROR_USAGE, "prepare: where to? Give -o data.h5");
    if (!(patience >= 0.0 && patience <= 1e9))
        PAL_FAIL(PAL_ERROR_USAGE, "prepare: --watchdog %g: expected seconds, 0 for no limit",
                 patience);
    prepare.subwords.sample_bytes = 1e6 * sample;
    source->no_training = prepare.tokenizer_from != NULL;
    const WatchdogConfig limits = {.start = patience};
    watchdog_know(&limits, grid, NULL);
    PAL_TRY(prepare_data(&prepare, &grid->world));
    print_peak(&grid->world);
    return PAL_OK;
}
