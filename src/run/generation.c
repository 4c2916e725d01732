/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/generation.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/progress.h"
#include "src/run/placing.h"

/* Of the bytes tokenizer: ids 0 to 255 are bytes (spec: model, section 1). */
enum { DOCUMENT_TOKEN = 256, BYTES_VOCABULARY = 257 };

Status generation_create(Generation *g, Session *session, const Parameters *parameters)
{
    const ModelOptions *options = &session->config.model;
    if (options->vocabulary != BYTES_VOCABULARY)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the model has a vocabulary of %d tokens; text can be generated from one of %d, "
                 "that of --tokenizer bytes",
                 options->vocabulary, BYTES_VOCABULARY);
    *g = (Generation){.session = session};
    const Grid *grid = session->grid;
    Placement place = placing_make(grid, &session->config, 1, 1, 0);
    PAL_TRY(model_create(&g->model, session->device, session->arena, options, &place, &grid->tensor,
                         parameters, false, false));
    decoder_create(&g->decoder, session->arena, &g->model);

    size_t vocabulary = checked_size(options->vocabulary), window = checked_size(options->window);
    g->chunk = arena_host(session->arena, PURPOSE_DATA, window * sizeof *g->chunk);
    g->candidates = arena_host(session->arena, PURPOSE_DATA, vocabulary * sizeof *g->candidates);
    return PAL_OK;
}

void generation_start(Generation *g) { model_start(&g->model); }

/* <doc> and the prompt, a window at a time. */
static void read_prompt(Generation *g, const GenerationOptions *options)
{
    int64_t window = g->model.options.window, total = (int64_t)options->prompt_length + 1;
    double start = timer_seconds();
    Progress progress = progress_begin("prompt", total, "tokens");
    for (int64_t done = 0; done < total;) {
        int64_t count = total - done < window ? total - done : window;
        for (int64_t i = 0; i < count; i++)
            g->chunk[i] =
                done + i == 0 ? DOCUMENT_TOKEN : (unsigned char)options->prompt[done + i - 1];
        decoder_read(&g->decoder, g->chunk, count);
        done += count;
        progress_show(&progress, done);
    }
    double seconds = timer_seconds() - start;
    log_info("prompt: %zu bytes through windows of %lld in %.1f s, %.0f tokens/s",
             options->prompt_length, (long long)window, seconds, (double)total / seconds);
}

static Status write_text(FILE *out, const void *bytes, size_t count)
{
    if (count == 0) return PAL_OK;
    errno = 0;
    if (fwrite(bytes, 1, count, out) != count || fflush(out) != 0)
        PAL_FAIL(PAL_ERROR_IO, "the text cannot be written: %s", strerror(errno));
    return PAL_OK;
}

/* The token at this place of the document, from the logits after the one before. */
static Status choose(Generation *g, const GenerationOptions *options, RandomStream stream,
                     int64_t place, int32_t *token)
{
    *token =
        sampling_choose(&options->sampling, g->decoder.logits, BYTES_VOCABULARY, DOCUMENT_TOKEN,
                        random_uniform(stream, (uint64_t)place), g->candidates);
    if (*token < 0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the model's logits are not numbers at byte %lld of the text: its weights have "
                 "diverged; take an earlier checkpoint",
                 (long long)place);
    return PAL_OK;
}

static Status write_continuation(Generation *g, const GenerationOptions *options, FILE *out)
{
    RandomStream stream = random_stream((uint64_t)options->seed, "generate");
    for (int64_t n = 0; n < options->tokens; n++) {
        int32_t token;
        PAL_TRY(choose(g, options, stream, (int64_t)options->prompt_length + n, &token));
        unsigned char byte = (unsigned char)token;
        PAL_TRY(write_text(out, &byte, 1));
        if (n + 1 < options->tokens) decoder_read(&g->decoder, &token, 1);
    }
    return PAL_OK;
}

Status generation_run(Generation *g, const GenerationOptions *options, FILE *out)
{
    decoder_begin(&g->decoder);
    read_prompt(g, options);
    PAL_TRY(write_text(out, options->prompt, options->prompt_length));

    double start = timer_seconds();
    PAL_TRY(write_continuation(g, options, out));
    double seconds = timer_seconds() - start;
    if (isatty(fileno(out))) PAL_TRY(write_text(out, "\n", 1)); /* for the eye; not in a file */
    log_info("%lld tokens in %.1f s, %.0f tokens/s", (long long)options->tokens, seconds,
             (double)options->tokens / seconds);
    return PAL_OK;
}
