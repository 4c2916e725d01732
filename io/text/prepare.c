/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/prepare.h"

#include <stdlib.h>
#include <string.h>

#include "io/number.h"
#include "io/output.h"
#include "io/text/data_file.h"
#include "io/text/tokenizer_file.h"
#include "io/text/word_count.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/base/timer.h"

/* Text of about so many bytes becomes tokens, and a file of OUTPUT.work, at a time. */
enum { UNIT_BYTES = 32 << 20, SUBWORDS = 32000 };

typedef struct Preparation {
    const PrepareOptions *options;
    const Group *group;
    TextSource source;
    TextParts parts;
    WorkFolder folder;
    Tokenizer *tokenizer;
    double started;
} Preparation;

/* --- what is to be done ----------------------------------------------------------------------- */

static Status check_options(const PrepareOptions *o)
{
    bool bytes = strcmp(o->tokenizer, "bytes") == 0;
    bool subwords = strcmp(o->tokenizer, "sentencepiece") == 0;
    const char *algorithm = o->subwords.algorithm;
    if (!tokenizer_is_kind(o->tokenizer))
        PAL_FAIL(PAL_ERROR_USAGE, "--tokenizer %.60s is unknown; expected %s", o->tokenizer,
                 tokenizer_names);
    if (o->vocabulary != 0 && (bytes || o->tokenizer_from != NULL))
        PAL_FAIL(PAL_ERROR_USAGE, "--vocab %lld: %s has its vocabulary already; leave --vocab out",
                 (long long)o->vocabulary, bytes ? "--tokenizer bytes" : "the --tokenizer-from");
    if (o->vocabulary != 0 && (o->vocabulary < 4 || o->vocabulary > PAL_MOST_TOKENS))
        PAL_FAIL(PAL_ERROR_USAGE, "--vocab %lld: expected 4 to %d tokens, or 0 for the default",
                 (long long)o->vocabulary, PAL_MOST_TOKENS);
    if (subwords && strcmp(algorithm, "unigram") != 0 && strcmp(algorithm, "bpe") != 0)
        PAL_FAIL(PAL_ERROR_USAGE, "--subwords %.60s is unknown; expected unigram or bpe",
                 algorithm);
    if (!(o->subwords.sample_bytes >= 1.0))
        PAL_FAIL(PAL_ERROR_USAGE, "--sample %g: expected MB of text, more than 0",
                 1e-6 * o->subwords.sample_bytes);
    return PAL_OK;
}

static Status find_text(Preparation *p)
{
    const PrepareOptions *o = p->options;
    PAL_TRY(check_options(o));
    PAL_TRY(output_check(o->output, PAL_DATA_FORMAT));
    return text_source_open(&p->source, &o->source);
}

/* Smaller units than a test's text. */
static int64_t unit_bytes(void)
{
    const char *text = getenv("PALIMPSEST_TEST_UNIT");
    int64_t bytes;
    return text != NULL && integer_parse(text, &bytes) && bytes > 0 ? bytes : UNIT_BYTES;
}

/* --- the tokenizer ---------------------------------------------------------------------------- */

static Status learn(Preparation *p, TokenizerModel *model)
{
    const PrepareOptions *o = p->options;
    SubwordOptions subwords = o->subwords;
    subwords.vocabulary = o->vocabulary != 0 ? o->vocabulary : SUBWORDS;
    return learn_subwords(&p->parts, &subwords, model);
}

/* Rank 0's *model. Words are counted by all, other tokenizers are rank 0's to find. */
static Status find_model(Preparation *p, TokenizerModel *model)
{
    const PrepareOptions *o = p->options;
    const bool root = group_is_root(p->group);
    *model = (TokenizerModel){0};
    if (o->tokenizer_from != NULL)
        return group_agree(p->group, root ? tokenizer_file_read(o->tokenizer_from, model) : PAL_OK);
    if (strcmp(o->tokenizer, "bytes") == 0) {
        *model = (TokenizerModel){.kind = "bytes", .vocabulary = 257, .document_token = 256};
        return PAL_OK;
    }
    const TokenizerRecipe recipe = {&p->parts, o->tokenizer, o->vocabulary, &o->subwords,
                                    o->keep_invalid};
    bool kept = false;
    if (root) kept = tokenizer_kept(&p->folder, &recipe, model);
    group_broadcast(p->group, &kept, sizeof kept, 0);
    if (kept) return PAL_OK;
    if (strcmp(o->tokenizer, "words") == 0)
        PAL_TRY(
            count_words(&p->parts, &p->folder, p->group, o->vocabulary, o->keep_invalid, model));
    else
        PAL_TRY(group_agree(p->group, root ? learn(p, model) : PAL_OK));
    if (root) tokenizer_keep(&p->folder, &recipe, model);
    return PAL_OK;
}

static Status take_tokenizer(Preparation *p)
{
    TokenizerModel model;
    Status status = find_model(p, &model);
    if (status == PAL_OK) status = tokenizer_model_share(&model, p->group);
    if (status == PAL_OK)
        status = group_agree(p->group, tokenizer_create(&p->tokenizer, &model, "prepare"));
    tokenizer_model_free(&model);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* A book that could not be copied looks like this. */
static void warn_of_empty(const Preparation *p)
{
    int64_t count = 0;
    const char *first = NULL;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < p->source.count[s]; d++) {
            const TextDocument *document = &p->source.documents[s][d];
            if (document->bytes != 0) continue;
            if (count++ == 0) first = document->path;
        }
    if (count > 0)
        log_warn("%s: is empty%s; such documents stay in the list and have no tokens", first,
                 count > 1 ? ", and others are" : "");
}

static void print_table(const Preparation *p, const SplitCounts counts[SPLIT_COUNT])
{
    int64_t bytes = 0;
    log_info("%-12s %10s %14s %14s %14s", "split", "documents", "tokens", "words", "bytes");
    for (int s = 0; s < SPLIT_COUNT; s++) {
        bytes += counts[s].bytes;
        log_info("%-12s %10lld %14lld %14lld %14lld", split_name((Split)s),
                 (long long)p->source.count[s], (long long)counts[s].tokens,
                 (long long)counts[s].words, (long long)counts[s].bytes);
    }
    warn_of_empty(p);
    published_compare(&p->source, counts);
    double seconds = timer_seconds() - p->started;
    log_info("wrote %s, tokenizer %s with a vocabulary of %d, in %.1f s, %.1f MB/s of text",
             p->options->output, p->tokenizer->model.kind, p->tokenizer->model.vocabulary, seconds,
             (double)bytes * 1e-6 / (seconds > 0.0 ? seconds : 1.0));
}

static Status work(Preparation *p)
{
    const PrepareOptions *o = p->options;
    SplitCounts counts[SPLIT_COUNT];
    text_parts_create(&p->parts, &p->source, unit_bytes());
    PAL_TRY(take_tokenizer(p));
    const Encoding encoding = {.parts = &p->parts,
                               .tokenizer = p->tokenizer,
                               .folder = &p->folder,
                               .keep_invalid = o->keep_invalid,
                               .allow_html = o->allow_html,
                               .tokenizer_sum = tokenizer_model_checksum(&p->tokenizer->model)};
    PAL_TRY(encode_units(&encoding, p->group));
    PAL_TRY(data_file_write(o->output, &encoding, p->group, counts));
    if (group_is_root(p->group)) print_table(p, counts);
    return PAL_OK;
}

Status prepare_data(const PrepareOptions *options, const Group *group)
{
    Preparation p = {.options = options, .group = group, .started = timer_seconds()};
    Status status = group_agree(group, group_is_root(group) ? find_text(&p) : PAL_OK);
    if (status == PAL_OK) status = text_source_share(&p.source, group);
    if (status == PAL_OK) {
        status = work_folder_open(&p.folder, options->output, group);
        if (status == PAL_OK) {
            status = work(&p);
            work_folder_close(&p.folder, group, status == PAL_OK);
        }
    }
    tokenizer_destroy(&p.tokenizer);
    text_parts_destroy(&p.parts);
    text_source_close(&p.source);
    return status;
}
