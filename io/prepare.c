/* SPDX-License-Identifier: Apache-2.0 */
#include "io/prepare.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/dataset.h"
#include "io/h5_file.h"
#include "io/output.h"
#include "io/publish.h"
#include "io/text_source.h"
#include "io/tokenize.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/base/timer.h"

/* The bytes tokenizer: ids 0 to 255 are the bytes, one more begins documents. */
enum { VOCABULARY = 257, DOCUMENT_TOKEN = 256 };

/* Where numbers stand in the file. */
typedef struct Places {
    int64_t tokens[SPLIT_COUNT], words[SPLIT_COUNT];
} Places;

typedef struct Preparation {
    const Group *group;
    TextSource source;
    double *words[SPLIT_COUNT]; /* (documents) */
    char temporary[PATH_MAX];
    H5File *file; /* rank 0's alone */
    Places places;
    double started;
} Preparation;

/* --- what is to be done ----------------------------------------------------------------------- */

static Status check_tokenizer(const char *name)
{
    if (name == NULL || strcmp(name, "bytes") == 0) return PAL_OK;
    if (strcmp(name, "words") == 0 || strcmp(name, "sentencepiece") == 0)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "--tokenizer %s is not in this version of palimpsest; use --tokenizer bytes",
                 name);
    PAL_FAIL(PAL_ERROR_USAGE, "--tokenizer %.60s is unknown; expected bytes", name);
}

static Status find_text(Preparation *p, const PrepareOptions *options)
{
    PAL_TRY(check_tokenizer(options->tokenizer));
    PAL_TRY(output_check(options->output, PAL_DATA_FORMAT));
    return text_source_open(&p->source, options->input, options->split_at);
}

static void take_counters(Preparation *p)
{
    for (int s = 0; s < SPLIT_COUNT; s++)
        p->words[s] = fatal_calloc(checked_size(p->source.count[s]) + 1, sizeof *p->words[s],
                                   "words of the documents");
}

/* --- the file: all but tokens and words, which get their places ------------------------------- */

static const char *dataset_path(Split split, const char *name, char path[64])
{
    snprintf(path, 64, "/%s/%s", split_name(split), name);
    return path;
}

/* lists: offsets (n + 1), bytes (n); names (n). */
static Status write_documents(H5File *file, Split split, const TextDocument *documents, int64_t n,
                              int64_t *lists, const char **names)
{
    char path[64];
    int64_t *offsets = lists, *bytes = lists + n + 1;
    for (int64_t d = 0; d < n; d++) {
        offsets[d + 1] = offsets[d] + documents[d].bytes;
        bytes[d] = documents[d].bytes;
        names[d] = documents[d].name;
    }
    PAL_TRY(h5_write(file, dataset_path(split, "offsets", path), STORED_INT64, (Shape){1, {n + 1}},
                     offsets));
    PAL_TRY(
        h5_write(file, dataset_path(split, "bytes", path), STORED_INT64, (Shape){1, {n}}, bytes));
    return h5_write_texts(file, dataset_path(split, "names", path), names, n);
}

static Status lay_out_split(Preparation *p, Split split)
{
    const TextDocument *documents = p->source.documents[split];
    int64_t n = p->source.count[split], tokens = 0;
    for (int64_t d = 0; d < n; d++) tokens += documents[d].bytes;

    char path[64];
    PAL_TRY(h5_place(p->file, dataset_path(split, "tokens", path), STORED_UINT16,
                     (Shape){1, {tokens}}, &p->places.tokens[split]));
    PAL_TRY(h5_place(p->file, dataset_path(split, "words", path), STORED_INT64, (Shape){1, {n}},
                     &p->places.words[split]));
    int64_t *lists = calloc(2 * (size_t)n + 1, sizeof *lists);
    const char **names = calloc((size_t)n + 1, sizeof *names);
    Status status;
    if (lists == NULL || names == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "prepare: out of memory");
    else
        status = write_documents(p->file, split, documents, n, lists, names);
    free(lists);
    free(names);
    return status;
}

static Status lay_out(Preparation *p)
{
    PAL_TRY(h5_create(&p->file, p->temporary, NULL));
    PAL_TRY(h5_set_text(p->file, "/", "format", PAL_DATA_FORMAT));
    PAL_TRY(h5_set_integer(p->file, "/", "version", PAL_DATA_VERSION));
    PAL_TRY(h5_set_text(p->file, "/", "tokenizer", "bytes"));
    PAL_TRY(h5_set_integer(p->file, "/", "vocabulary", VOCABULARY));
    PAL_TRY(h5_set_integer(p->file, "/", "document_token", DOCUMENT_TOKEN));
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(lay_out_split(p, (Split)s));
    return h5_seal(p->file);
}

/* --- tokens and words ------------------------------------------------------------------------- */

static Status write_words(const Preparation *p, SharedFile *file)
{
    Status status = PAL_OK;
    for (int s = 0; s < SPLIT_COUNT && status == PAL_OK; s++) {
        int64_t n = p->source.count[s];
        if (n == 0) continue;
        int64_t *words = fatal_calloc(checked_size(n), sizeof *words, "words of the documents");
        for (int64_t d = 0; d < n; d++) words[d] = (int64_t)p->words[s][d];
        const FilePieces all = {n * (int64_t)sizeof *words, 1, &p->places.words[s]};
        status = shared_file_write(file, all, words);
        free(words);
    }
    return status;
}

static Status fill(Preparation *p)
{
    const Group *group = p->group;
    SharedFile *file = NULL;
    group_broadcast(group, &p->places, sizeof p->places, 0);
    Status status =
        group_agree(group, shared_file_open(&file, p->temporary, group, TRANSFER_DIRECT));
    if (status == PAL_OK) status = tokenize(&p->source, group, file, p->places.tokens, p->words);
    if (status == PAL_OK)
        status = group_agree(group, group_is_root(group) ? write_words(p, file) : PAL_OK);
    if (status == PAL_OK) status = group_agree(group, shared_file_close(&file));
    shared_file_abandon(&file); /* after a failure */
    return status;
}

/* ---------------------------------------------------------------------------------------------- */

static void print_table(const Preparation *p, const char *output)
{
    log_info("%-12s %10s %14s %14s %14s", "split", "documents", "tokens", "words", "bytes");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        int64_t bytes = 0, words = 0;
        for (int64_t d = 0; d < p->source.count[s]; d++) {
            bytes += p->source.documents[s][d].bytes;
            words += (int64_t)p->words[s][d];
        }
        log_info("%-12s %10lld %14lld %14lld %14lld", split_name((Split)s),
                 (long long)p->source.count[s], (long long)bytes, (long long)words,
                 (long long)bytes);
    }
    double seconds = timer_seconds() - p->started;
    log_info("wrote %s in %.1f s, %.1f MB/s of text", output, seconds,
             (double)p->source.total_bytes * 1e-6 / (seconds > 0.0 ? seconds : 1.0));
}

static Status write_and_publish(Preparation *p, const char *output)
{
    const Group *group = p->group;
    bool root = group_is_root(group);
    PAL_TRY(publish_temporary(output, p->temporary, sizeof p->temporary));
    Status status = group_agree(group, root ? lay_out(p) : PAL_OK);
    if (status == PAL_OK) status = publish_seen(p->temporary, group);
    if (status == PAL_OK) status = fill(p);
    if (status == PAL_OK) status = group_agree(group, root ? h5_publish(&p->file, output) : PAL_OK);
    if (status == PAL_OK) print_table(p, output);
    h5_abandon(&p->file); /* after a failure */
    return status;
}

Status prepare_data(const PrepareOptions *options, const Group *group)
{
    Preparation p = {.group = group, .started = timer_seconds()};
    Status status = group_agree(group, group_is_root(group) ? find_text(&p, options) : PAL_OK);
    if (status == PAL_OK) status = text_source_share(&p.source, group);
    if (status == PAL_OK) {
        take_counters(&p);
        status = write_and_publish(&p, options->output);
    }
    for (int s = 0; s < SPLIT_COUNT; s++) free(p.words[s]);
    text_source_close(&p.source);
    return status;
}
