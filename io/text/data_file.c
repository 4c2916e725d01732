/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/data_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/publish.h"
#include "io/text/same_text.h"
#include "io/text/together.h"
#include "mpi/collectives.h"
#include "mpi/shared_file.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

enum { COPIED_BYTES = 1 << 20 };

/* Where numbers stand in the file. */
typedef struct Places {
    int64_t tokens[SPLIT_COUNT], counts;
} Places;

typedef struct Writing {
    const Encoding *encoding;
    const Group *group;
    char temporary[PAL_PATH_SIZE];
    PartCounts *parts;   /* (parts) rank 0's */
    int64_t *unit_first; /* (units) the token of its split that a unit begins with */
    H5File *file;        /* rank 0's */
    Places places;
} Writing;

/* --- what is known of the units, on rank 0 ---------------------------------------------------- */

static Status read_counts(Writing *w)
{
    const TextParts *parts = w->encoding->parts;
    for (int64_t unit = 0; unit < parts->num_units; unit++) {
        UnitFile file;
        if (!encoded_unit_open(&file, w->encoding, unit, &w->parts[parts->first_part[unit]]))
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: unit %lld of the text is missing; does another process remove files "
                     "there? Start prepare again with the same arguments",
                     w->encoding->folder->path, (long long)unit);
        unit_file_close(&file);
    }
    int64_t first[SPLIT_COUNT] = {0};
    for (int64_t unit = 0; unit < parts->num_units; unit++) {
        int64_t part = parts->first_part[unit];
        Split split = parts->parts[part].split;
        w->unit_first[unit] = first[split];
        for (; part < parts->first_part[unit + 1]; part++) first[split] += w->parts[part].tokens;
    }
    return PAL_OK;
}

static void add_split_counts(const Writing *w, SplitCounts counts[SPLIT_COUNT])
{
    const TextParts *parts = w->encoding->parts;
    for (int64_t i = 0; i < parts->num_parts; i++) {
        SplitCounts *split = &counts[parts->parts[i].split];
        split->tokens += w->parts[i].tokens;
        split->words += w->parts[i].words;
        split->lines += w->parts[i].lines;
        split->bytes += w->parts[i].bytes;
    }
}

/* --- the file: all but tokens and their counts, which get their places ------------------------ */

static const char *dataset_path(Split split, const char *name, char path[64])
{
    snprintf(path, 64, "/%s/%s", split_name(split), name);
    return path;
}

/* lists: offsets (n + 1), words (n), bytes (n); names (n). */
static Status write_documents(Writing *w, Split split, int64_t n, int64_t *lists,
                              const char **names)
{
    const TextParts *parts = w->encoding->parts;
    char path[64];
    int64_t *offsets = lists, *words = lists + n + 1, *bytes = words + n;
    for (int64_t i = 0; i < parts->num_parts; i++) {
        if (parts->parts[i].split != split) continue;
        int64_t d = parts->parts[i].document;
        offsets[d + 1] += w->parts[i].tokens;
        words[d] += w->parts[i].words;
        bytes[d] += w->parts[i].bytes;
    }
    for (int64_t d = 0; d < n; d++) {
        offsets[d + 1] += offsets[d];
        names[d] = parts->source->documents[split][d].name;
    }
    const struct {
        const char *name;
        int64_t count, *numbers;
    } datasets[] = {{"offsets", n + 1, offsets}, {"words", n, words}, {"bytes", n, bytes}};
    for (size_t i = 0; i < sizeof datasets / sizeof *datasets; i++)
        PAL_TRY(h5_write(w->file, dataset_path(split, datasets[i].name, path), STORED_INT64,
                         (Shape){1, {datasets[i].count}}, datasets[i].numbers));
    return h5_write_texts(w->file, dataset_path(split, "names", path), names, n);
}

static Status lay_out_split(Writing *w, Split split, const SplitCounts *counts)
{
    const TextSource *source = w->encoding->parts->source;
    const int64_t n = source->count[split], published = published_words(source, split, counts);
    char path[64];
    StoredType type =
        token_size(w->encoding->tokenizer) == sizeof(uint16_t) ? STORED_UINT16 : STORED_INT32;
    PAL_TRY(h5_place(w->file, dataset_path(split, "tokens", path), type,
                     (Shape){1, {counts->tokens}}, &w->places.tokens[split]));
    int64_t *lists = calloc(3 * (size_t)n + 1, sizeof *lists);
    const char **names = calloc((size_t)n + 1, sizeof *names);
    Status status;
    if (lists == NULL || names == NULL)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "prepare: out of memory");
    else
        status = write_documents(w, split, n, lists, names);
    free(lists);
    free(names);
    if (status == PAL_OK && published > 0)
        status = h5_set_integer(w->file, split_name(split), "published_words", published);
    return status;
}

static Status lay_out(Writing *w, SplitCounts counts[SPLIT_COUNT])
{
    const TokenizerModel *model = &w->encoding->tokenizer->model;
    const TextParts *parts = w->encoding->parts;
    PAL_TRY(read_counts(w));
    PAL_TRY(check_not_trained_on(parts, w->parts));
    add_split_counts(w, counts);
    if (counts[SPLIT_TRAIN].tokens == 0 && parts->source->count[SPLIT_TRAIN] > 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: is empty, and so is every document of the training split",
                 parts->source->documents[SPLIT_TRAIN][0].path);
    PAL_TRY(h5_create(&w->file, w->temporary, NULL));
    PAL_TRY(h5_set_text(w->file, "/", "format", PAL_DATA_FORMAT));
    PAL_TRY(h5_set_integer(w->file, "/", "version", PAL_DATA_VERSION));
    PAL_TRY(h5_set_text(w->file, "/", "dataset", published_name(parts->source, counts)));
    PAL_TRY(tokenizer_model_write(w->file, model));
    PAL_TRY(h5_place(w->file, PAL_TOKEN_COUNTS, STORED_INT64, (Shape){1, {model->vocabulary}},
                     &w->places.counts));
    for (int s = 0; s < SPLIT_COUNT; s++) PAL_TRY(lay_out_split(w, (Split)s, &counts[s]));
    return h5_seal(w->file);
}

/* --- tokens ----------------------------------------------------------------------------------- */

typedef struct Copying {
    const Writing *w;
    SharedFile *to;
    UnitFile from;
    PartCounts *parts; /* room for those of a unit */
    int64_t unit;
    bool open;
    int64_t place;  /* in the file, of the next tokens */
    double *counts; /* (V) tokens of the training split */
    void *tokens;   /* (COPIED_BYTES) */
} Copying;

static Split split_of(const Copying *c)
{
    const TextParts *parts = c->w->encoding->parts;
    return parts->parts[parts->first_part[c->unit]].split;
}

static Status open_unit(Copying *c)
{
    const Writing *w = c->w;
    c->open = encoded_unit_open(&c->from, w->encoding, c->unit, c->parts);
    if (!c->open)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: unit %lld of the text is missing here; is the folder on a file system that "
                 "all nodes share?",
                 w->encoding->folder->path, (long long)c->unit);
    c->place = w->places.tokens[split_of(c)] +
               w->unit_first[c->unit] * (int64_t)token_size(w->encoding->tokenizer);
    return PAL_OK;
}

static void count_tokens(const Copying *c, size_t count)
{
    const uint16_t *narrow = c->tokens;
    const int32_t *wide = c->tokens;
    if (c->from.token_bytes == sizeof *narrow)
        for (size_t i = 0; i < count; i++) c->counts[narrow[i]]++;
    else
        for (size_t i = 0; i < count; i++) c->counts[wide[i]]++;
}

/* A piece of a unit, or the end of it. Its cost is counted when it has ended. */
static Status copy_piece(void *context, int64_t *left)
{
    Copying *c = context;
    size_t count;
    if (!c->open) PAL_TRY(open_unit(c));
    const size_t size = c->from.token_bytes;
    PAL_TRY(unit_file_next(&c->from, c->tokens, COPIED_BYTES / size, &count));
    if (count == 0) {
        unit_file_close(&c->from);
        c->open = false;
        *left -= text_unit_cost(c->w->encoding->parts, c->unit) + 1;
        c->unit += c->w->group->size;
        return PAL_OK;
    }
    if (split_of(c) == SPLIT_TRAIN) count_tokens(c, count);
    const int64_t bytes = (int64_t)(count * size);
    PAL_TRY(shared_file_write(c->to, (FilePieces){bytes, 1, &c->place}, c->tokens));
    c->place += bytes;
    return PAL_OK;
}

static Status copy_all(Copying *c)
{
    const TextParts *parts = c->w->encoding->parts;
    const Group *group = c->w->group;
    SharedWork work = {.label = "write", .step = copy_piece, .context = c};
    for (int64_t unit = 0; unit < parts->num_units; unit++) {
        int64_t cost = text_unit_cost(parts, unit) + 1;
        work.total += cost;
        if (unit % group->size == group->rank) work.mine += cost;
    }
    return work_together(group, &work);
}

static Status write_counts(const Copying *c)
{
    const int64_t vocabulary = c->w->encoding->tokenizer->model.vocabulary;
    int64_t *counts = fatal_calloc(checked_size(vocabulary), sizeof *counts, "counts of tokens");
    for (int64_t token = 0; token < vocabulary; token++) counts[token] = (int64_t)c->counts[token];
    const FilePieces all = {vocabulary * (int64_t)sizeof *counts, 1, &c->w->places.counts};
    Status status = shared_file_write(c->to, all, counts);
    free(counts);
    return status;
}

static Status fill(Writing *w)
{
    const Group *group = w->group;
    const TextParts *parts = w->encoding->parts;
    const int vocabulary = w->encoding->tokenizer->model.vocabulary;
    Copying c = {.w = w, .unit = group->rank};
    c.counts = fatal_calloc(checked_size(vocabulary), sizeof *c.counts, "counts of tokens");
    c.parts = fatal_calloc(checked_size(parts->num_parts) + 1, sizeof *c.parts, "counts of parts");
    c.tokens = fatal_calloc(COPIED_BYTES, 1, "tokens");
    Status status =
        group_agree(group, shared_file_open(&c.to, w->temporary, group, TRANSFER_DIRECT));
    if (status == PAL_OK) status = copy_all(&c);
    if (status == PAL_OK) {
        group_sum_double(group, c.counts, vocabulary);
        status = group_agree(group, group_is_root(group) ? write_counts(&c) : PAL_OK);
    }
    if (status == PAL_OK) status = group_agree(group, shared_file_close(&c.to));
    shared_file_abandon(&c.to); /* after a failure */
    if (c.open) unit_file_close(&c.from);
    free(c.tokens);
    free(c.parts);
    free(c.counts);
    return status;
}

/* --- all of it -------------------------------------------------------------------------------- */

Status data_file_write(const char *output, const Encoding *encoding, const Group *group,
                       SplitCounts counts[SPLIT_COUNT])
{
    const TextParts *parts = encoding->parts;
    const bool root = group_is_root(group);
    const size_t units = checked_size(parts->num_units) + 1;
    Writing w = {.encoding = encoding, .group = group};
    for (int s = 0; s < SPLIT_COUNT; s++) counts[s] = (SplitCounts){0};
    PAL_TRY(publish_temporary(output, w.temporary, sizeof w.temporary));
    w.parts = fatal_calloc(checked_size(parts->num_parts) + 1, sizeof *w.parts, "counts of parts");
    w.unit_first = fatal_calloc(units, sizeof *w.unit_first, "units of text");
    Status status = group_agree(group, root ? lay_out(&w, counts) : PAL_OK);
    if (status == PAL_OK) status = publish_seen(w.temporary, group);
    if (status == PAL_OK) {
        group_broadcast(group, &w.places, sizeof w.places, 0);
        group_broadcast(group, w.unit_first, units * sizeof *w.unit_first, 0);
        status = fill(&w);
    }
    if (status == PAL_OK) status = group_agree(group, root ? h5_publish(&w.file, output) : PAL_OK);
    h5_abandon(&w.file); /* after a failure */
    free(w.unit_first);
    free(w.parts);
    return status;
}
