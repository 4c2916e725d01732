/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/generation.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "src/base/checked.h"
#include "src/base/log.h"
#include "src/base/progress.h"
#include "src/run/placing.h"

/* The weights are those of the tokenizer's vocabulary. */
static Status take_tokenizer(Generation *g, const TokenizerModel *model)
{
    int vocabulary = g->session->config.model.vocabulary;
    TokenizerModel copy;
    if (vocabulary != model->vocabulary)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the model has weights for %d tokens, and its tokenizer (%s) makes %d; is the "
                 "checkpoint damaged?",
                 vocabulary, model->kind, model->vocabulary);
    PAL_TRY(tokenizer_model_copy(&copy, model));
    return tokenizer_create(&g->tokenizer, &copy, "the checkpoint");
}

Status generation_create(Generation *g, Session *session, const Parameters *parameters,
                         const TokenizerModel *model)
{
    const ModelOptions *options = &session->config.model;
    *g = (Generation){.session = session};
    PAL_TRY(take_tokenizer(g, model));
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

void generation_destroy(Generation *g)
{
    tokenizer_destroy(&g->tokenizer);
    token_list_free(&g->prompt);
}

/* <doc>, and the tokens of the prompt. */
static Status encode_prompt(Generation *g, const GenerationOptions *options)
{
    TextEncoder *encoder = NULL;
    const int32_t document = g->tokenizer->model.document_token;
    PAL_TRY(token_list_add(&g->prompt, &document, 1));
    PAL_TRY(text_encoder_create(&encoder, g->tokenizer, true));
    text_encoder_begin(encoder, "the prompt", 0);
    Status status = text_encoder_feed(encoder, (const uint8_t *)options->prompt,
                                      options->prompt_length, &g->prompt);
    if (status == PAL_OK) status = text_encoder_end(encoder, true, &g->prompt);
    text_encoder_destroy(&encoder);
    return status;
}

/* The prompt, a window at a time. */
static Status read_prompt(Generation *g, const GenerationOptions *options)
{
    PAL_TRY(encode_prompt(g, options));
    int64_t window = g->model.options.window, total = (int64_t)g->prompt.count;
    double start = timer_seconds();
    Progress progress = progress_begin("prompt", total, "tokens");
    for (int64_t done = 0; done < total;) {
        int64_t count = total - done < window ? total - done : window;
        memcpy(g->chunk, g->prompt.tokens + done, checked_size(count) * sizeof *g->chunk);
        decoder_read(&g->decoder, g->chunk, count);
        done += count;
        progress_show(&progress, done);
    }
    double seconds = timer_seconds() - start;
    log_info("prompt: %zu bytes, %lld tokens through windows of %lld in %.1f s, %.0f tokens/s",
             options->prompt_length, (long long)total - 1, (long long)window, seconds,
             (double)total / seconds);
    for (int64_t i = 0; i < total; i++) { /* to stand in the line where the prompt ends */
        size_t bytes;
        (void)text_decoder_next(&g->text, g->tokenizer, g->prompt.tokens[i], &bytes);
    }
    return PAL_OK;
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
    const TokenizerModel *model = &g->tokenizer->model;
    *token = sampling_choose(&options->sampling, g->decoder.logits, model->vocabulary,
                             model->document_token, random_uniform(stream, (uint64_t)place),
                             g->candidates);
    if (*token < 0)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the model's logits are not numbers at token %lld of the text: its weights have "
                 "diverged; take an earlier checkpoint",
                 (long long)place);
    return PAL_OK;
}

static Status write_continuation(Generation *g, const GenerationOptions *options, FILE *out)
{
    RandomStream stream = random_stream((uint64_t)options->seed, "generate");
    for (int64_t n = 0; n < options->tokens; n++) {
        int32_t token;
        PAL_TRY(choose(g, options, stream, (int64_t)g->prompt.count - 1 + n, &token));
        size_t count;
        const uint8_t *bytes = text_decoder_next(&g->text, g->tokenizer, token, &count);
        PAL_TRY(write_text(out, bytes, count));
        if (n + 1 < options->tokens) decoder_read(&g->decoder, &token, 1);
    }
    return PAL_OK;
}

Status generation_run(Generation *g, const GenerationOptions *options, FILE *out)
{
    decoder_begin(&g->decoder);
    PAL_TRY(read_prompt(g, options));
    PAL_TRY(write_text(out, options->prompt, options->prompt_length));

    double start = timer_seconds();
    PAL_TRY(write_continuation(g, options, out));
    double seconds = timer_seconds() - start;
    if (isatty(fileno(out))) PAL_TRY(write_text(out, "\n", 1)); /* for the eye; not in a file */
    log_info("%lld tokens in %.1f s, %.0f tokens/s", (long long)options->tokens, seconds,
             (double)options->tokens / seconds);
    return PAL_OK;
}
