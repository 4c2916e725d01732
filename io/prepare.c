/* SPDX-License-Identifier: Apache-2.0 */
#include "io/prepare.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/dataset.h"
#include "io/h5_file.h"
#include "io/output.h"
#include "io/publish.h"
#include "io/text_source.h"
#include "src/base/log.h"
#include "src/base/progress.h"
#include "src/base/stop.h"
#include "src/base/timer.h"

/* The bytes tokenizer: ids 0 to 255 are the bytes, one more begins documents. */
enum { VOCABULARY = 257, DOCUMENT_TOKEN = 256, BUFFER_BYTES = 1 << 20 };

typedef struct Preparation {
    H5File *file;
    const TextSource *source;
    uint8_t *bytes;    /* (BUFFER_BYTES) */
    uint16_t *tokens;  /* (BUFFER_BYTES) */
    Progress progress; /* in bytes of text */
    int64_t done_bytes;
    int64_t total_words[SPLIT_COUNT], total_bytes[SPLIT_COUNT];
} Preparation;

static Status check_tokenizer(const char *name)
{
    if (name == NULL || strcmp(name, "bytes") == 0) return PAL_OK;
    if (strcmp(name, "words") == 0 || strcmp(name, "sentencepiece") == 0)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--tokenizer %s is not in this version of palimpsest; use --tokenizer bytes",
                 name);
    PAL_FAIL(PAL_ERROR_USAGE, "--tokenizer %.60s is unknown; expected bytes", name);
}

/* isspace() of the C locale. */
static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* Words that begin in these bytes; in_word goes on from one buffer to the next. */
static int64_t count_words(const uint8_t *bytes, size_t count, bool *in_word)
{
    int64_t words = 0;
    for (size_t i = 0; i < count; i++) {
        bool letter = !is_space(bytes[i]);
        words += letter && !*in_word;
        *in_word = letter;
    }
    return words;
}

static Status stop_as_asked(const Preparation *p)
{
    StopReason reason = stop_requested();
    if (reason == STOP_NONE) return PAL_OK;
    PAL_FAIL(PAL_STOPPED_EARLY, "prepare: stopped after %.1f of %.1f MB, nothing was written: %s",
             1e-6 * (double)p->done_bytes, 1e-6 * (double)p->source->total_bytes,
             stop_text(reason));
}

/* Tokens of one document to [offset, ...) of the split's stream. */
static Status copy_tokens(Preparation *p, Split split, TextStream *stream, int64_t offset,
                          int64_t *words)
{
    char path[64];
    snprintf(path, sizeof path, "/%s/tokens", split_name(split));
    bool in_word = false;
    for (;;) {
        size_t got;
        PAL_TRY(text_stream_read(stream, p->bytes, BUFFER_BYTES, &got));
        if (got == 0) return PAL_OK;
        PAL_TRY(stop_as_asked(p));
        *words += count_words(p->bytes, got, &in_word);
        for (size_t i = 0; i < got; i++) p->tokens[i] = p->bytes[i];
        Slab slab = {.first = {offset}, .count = {(int64_t)got}};
        PAL_TRY(h5_write_slab(p->file, path, STORED_UINT16, &slab, p->tokens));
        offset += (int64_t)got;
        p->done_bytes += (int64_t)got;
        progress_show(&p->progress, p->done_bytes);
    }
}

static Status write_list(Preparation *p, Split split, const char *name, int64_t count,
                         const int64_t *list)
{
    char path[64];
    snprintf(path, sizeof path, "/%s/%s", split_name(split), name);
    return h5_write(p->file, path, STORED_INT64, (Shape){1, {count}}, list);
}

/* lists: offsets (n + 1), words (n), bytes (n); names (n). */
static Status write_documents(Preparation *p, Split split, int64_t *offsets, int64_t *words,
                              int64_t *bytes, const char **names)
{
    const TextDocument *documents = p->source->documents[split];
    int64_t n = p->source->count[split];
    for (int64_t d = 0; d < n; d++) offsets[d + 1] = offsets[d] + documents[d].bytes;

    char path[64];
    snprintf(path, sizeof path, "/%s/tokens", split_name(split));
    PAL_TRY(h5_define(p->file, path, STORED_UINT16, (Shape){1, {offsets[n]}}));
    for (int64_t d = 0; d < n; d++) {
        TextStream stream;
        PAL_TRY(text_stream_open(&stream, &documents[d]));
        Status status = copy_tokens(p, split, &stream, offsets[d], &words[d]);
        text_stream_close(&stream);
        PAL_TRY(status);
        bytes[d] = documents[d].bytes;
        names[d] = documents[d].name;
        p->total_words[split] += words[d];
        p->total_bytes[split] += bytes[d];
    }
    PAL_TRY(write_list(p, split, "offsets", n + 1, offsets));
    PAL_TRY(write_list(p, split, "words", n, words));
    PAL_TRY(write_list(p, split, "bytes", n, bytes));
    snprintf(path, sizeof path, "/%s/names", split_name(split));
    return h5_write_texts(p->file, path, names, n);
}

static Status write_split(Preparation *p, Split split)
{
    size_t n = (size_t)p->source->count[split];
    int64_t *lists = calloc(3 * n + 1, sizeof *lists);
    const char **names = calloc(n + 1, sizeof *names);
    Status status;
    if (lists == NULL || names == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "prepare: out of memory");
    else
        status = write_documents(p, split, lists, lists + n + 1, lists + 2 * n + 1, names);
    free(lists);
    free(names);
    return status;
}

static Status write_file(Preparation *p)
{
    PAL_TRY(h5_set_text(p->file, "/", "format", PAL_DATA_FORMAT));
    PAL_TRY(h5_set_integer(p->file, "/", "version", PAL_DATA_VERSION));
    PAL_TRY(h5_set_text(p->file, "/", "tokenizer", "bytes"));
    PAL_TRY(h5_set_integer(p->file, "/", "vocabulary", VOCABULARY));
    PAL_TRY(h5_set_integer(p->file, "/", "document_token", DOCUMENT_TOKEN));
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(write_split(p, (Split)s));
    return PAL_OK;
}

static void print_table(const Preparation *p, const char *output)
{
    log_info("%-12s %10s %14s %14s %14s", "split", "documents", "tokens", "words", "bytes");
    for (int s = 0; s < SPLIT_COUNT; s++)
        log_info("%-12s %10lld %14lld %14lld %14lld", split_name((Split)s),
                 (long long)p->source->count[s], (long long)p->total_bytes[s],
                 (long long)p->total_words[s], (long long)p->total_bytes[s]);
    double seconds = timer_seconds() - p->progress.started;
    log_info("wrote %s in %.1f s, %.1f MB/s of text", output, seconds,
             (double)p->done_bytes * 1e-6 / (seconds > 0.0 ? seconds : 1.0));
}

static Status write_and_publish(Preparation *p, const char *output)
{
    char temporary[PATH_MAX];
    PAL_TRY(publish_temporary(output, temporary, sizeof temporary));
    p->bytes = malloc(BUFFER_BYTES);
    p->tokens = malloc(BUFFER_BYTES * sizeof *p->tokens);
    if (p->bytes == NULL || p->tokens == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "prepare: out of memory");

    PAL_TRY(h5_create(&p->file, temporary, NULL));
    Status status = write_file(p);
    if (status != PAL_OK) {
        h5_abandon(&p->file);
        return status;
    }
    PAL_TRY(h5_publish(&p->file, output));
    print_table(p, output);
    return PAL_OK;
}

Status prepare_data(const PrepareOptions *options)
{
    PAL_TRY(check_tokenizer(options->tokenizer));
    PAL_TRY(output_check(options->output, PAL_DATA_FORMAT));
    TextSource source;
    Status status = text_source_open(&source, options->input, options->split_at);
    if (status == PAL_OK) {
        Preparation p = {.source = &source,
                         .progress = progress_begin("prepare", source.total_bytes, "MB")};
        p.progress.scale = 1e-6;
        status = write_and_publish(&p, options->output);
        free(p.bytes);
        free(p.tokens);
    }
    text_source_close(&source);
    return status;
}
