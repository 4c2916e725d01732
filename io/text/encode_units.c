/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "io/text/encode_units.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

#include "io/running_sum.h"
#include "io/text/read_units.h"
#include "io/text/words.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"

/* A rank at work. */
typedef struct UnitEncoder {
    const Encoding *encoding;
    TextEncoder *encoder;
    UnitFile file;
    TokenList tokens;
    PartCounts *counts;  /* of the unit's parts */
    int64_t part;        /* of the unit, from 0 */
    const TextPart *now; /* the part itself */
    int64_t read;        /* bytes of it */
    uint8_t before;      /* the byte before */
    XXH3_state_t *sum;
} UnitEncoder;

size_t token_size(const Tokenizer *tokenizer)
{
    return tokenizer->model.vocabulary <= UINT16_MAX + 1 ? sizeof(uint16_t) : sizeof(int32_t);
}

/* --- what a unit is made from ----------------------------------------------------------------- */

static uint64_t made_from(const Encoding *e, int64_t unit)
{
    const TextParts *parts = e->parts;
    const int64_t all[] = {e->tokenizer_sum, e->keep_invalid, e->allow_html,
                           (int64_t)token_size(e->tokenizer)};
    uint64_t sum = 0;
    running_sum_add(&sum, all, sizeof all);
    for (int64_t i = parts->first_part[unit]; i < parts->first_part[unit + 1]; i++) {
        const TextPart *part = &parts->parts[i];
        const TextDocument *document = text_part_document(parts, part);
        const int64_t of_part[] = {part->split,       part->first,     part->end,
                                   document->first,   document->bytes, document->on_disk,
                                   document->modified};
        running_sum_add(&sum, of_part, sizeof of_part);
        running_sum_add(&sum, document->path, strlen(document->path));
    }
    return sum;
}

static int64_t parts_of(const Encoding *e, int64_t unit)
{
    return e->parts->first_part[unit + 1] - e->parts->first_part[unit];
}

bool encoded_unit_open(UnitFile *file, const Encoding *e, int64_t unit, PartCounts *counts)
{
    return unit_file_open(file, e->folder, unit, made_from(e, unit), parts_of(e, unit),
                          token_size(e->tokenizer), counts);
}

/* --- making it -------------------------------------------------------------------------------- */

static Status begin_unit(void *context, int64_t unit)
{
    UnitEncoder *u = context;
    const Encoding *e = u->encoding;
    u->part = 0;
    u->counts = fatal_calloc(checked_size(parts_of(e, unit)), sizeof *u->counts, "counts of parts");
    return unit_file_create(&u->file, e->folder, unit, made_from(e, unit), parts_of(e, unit),
                            token_size(e->tokenizer));
}

static Status begin_part(void *context, const TextPart *part)
{
    UnitEncoder *u = context;
    const TextDocument *document = text_part_document(u->encoding->parts, part);
    u->now = part;
    u->read = 0;
    u->before = ' ';
    XXH3_64bits_reset(u->sum);
    text_encoder_begin(u->encoder, document->path, document->first);
    return PAL_OK;
}

/* A page of an error, or of a catalogue, instead of the book. */
static Status check_is_text(const UnitEncoder *u, const uint8_t *bytes, size_t count)
{
    static const char *const beginnings[] = {"<!doctype html", "<html"};
    static const uint8_t mark[] = {0xEF, 0xBB, 0xBF}; /* some texts of UTF-8 begin with it */
    size_t i = count >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0 ? sizeof mark : 0;
    while (i < count && is_space(bytes[i])) i++;
    for (size_t b = 0; b < sizeof beginnings / sizeof *beginnings; b++) {
        size_t length = strlen(beginnings[b]);
        if (count - i < length || strncasecmp((const char *)bytes + i, beginnings[b], length) != 0)
            continue;
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is HTML (it begins with %s), expected plain text; copy the text itself, or "
                 "take it as it is with --allow-html",
                 text_part_document(u->encoding->parts, u->now)->path, beginnings[b]);
    }
    return PAL_OK;
}

static Status drain(UnitEncoder *u)
{
    u->counts[u->part].tokens += (int64_t)u->tokens.count;
    Status status = unit_file_add(&u->file, u->tokens.tokens, u->tokens.count);
    u->tokens.count = 0;
    return status;
}

static void count(UnitEncoder *u, const uint8_t *bytes, size_t length)
{
    PartCounts *counts = &u->counts[u->part];
    bool in_word = !is_space(u->before);
    int64_t words = 0, lines = 0;
    for (size_t i = 0; i < length; i++) {
        bool letter = !is_space(bytes[i]);
        words += letter && !in_word;
        lines += bytes[i] == '\n';
        in_word = letter;
    }
    counts->words += words;
    counts->lines += lines;
    counts->bytes += (int64_t)length;
    u->before = bytes[length - 1];
    XXH3_64bits_update(u->sum, bytes, length);
}

static Status take(void *context, const uint8_t *bytes, size_t length, int64_t place)
{
    UnitEncoder *u = context;
    const TextDocument *document = text_part_document(u->encoding->parts, u->now);
    if (u->read == 0) text_encoder_begin(u->encoder, document->path, document->first + place);
    if (place == 0 && !u->encoding->allow_html) PAL_TRY(check_is_text(u, bytes, length));
    u->read += (int64_t)length;
    count(u, bytes, length);
    PAL_TRY(text_encoder_feed(u->encoder, bytes, length, &u->tokens));
    return drain(u);
}

static Status end_part(void *context, const TextPart *part)
{
    UnitEncoder *u = context;
    PartCounts *counts = &u->counts[u->part];
    (void)part;
    if (u->read > 0 && u->before != '\n') counts->lines++;
    counts->sum = XXH3_64bits_digest(u->sum);
    PAL_TRY(text_encoder_end(u->encoder, false, &u->tokens));
    PAL_TRY(drain(u));
    u->part++;
    return PAL_OK;
}

static Status end_unit(void *context, int64_t unit)
{
    UnitEncoder *u = context;
    (void)unit;
    PAL_TRY(unit_file_publish(&u->file, u->counts));
    free(u->counts);
    u->counts = NULL;
    return PAL_OK;
}

/* --- all of them ------------------------------------------------------------------------------ */

/* Rank 0 looks which units are to be made, for all: *units (count). */
static int64_t find_missing(const Encoding *e, const Group *group, int64_t **units)
{
    const int64_t all = e->parts->num_units;
    int64_t count = 0;
    *units = fatal_calloc(checked_size(all) + 1, sizeof **units, "units of text");
    if (group_is_root(group)) {
        PartCounts *counts =
            fatal_calloc(checked_size(e->parts->num_parts) + 1, sizeof *counts, "counts");
        for (int64_t unit = 0; unit < all; unit++) {
            UnitFile file;
            if (encoded_unit_open(&file, e, unit, counts))
                unit_file_close(&file);
            else
                (*units)[count++] = unit;
        }
        free(counts);
        if (count < all) /* some are there */
            log_info("%s: goes on: %lld of %lld units of text are ready", e->folder->path,
                     (long long)(all - count), (long long)all);
    }
    group_broadcast(group, &count, sizeof count, 0);
    group_broadcast(group, *units, checked_size(count) * sizeof **units, 0);
    return count;
}

static Status prepare(UnitEncoder *u)
{
    u->sum = XXH3_createState();
    if (u->sum == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for a tokenizer");
    return text_encoder_create(&u->encoder, u->encoding->tokenizer, u->encoding->keep_invalid);
}

Status encode_units(const Encoding *encoding, const Group *group)
{
    UnitEncoder u = {.encoding = encoding};
    const UnitVisitor visitor = {.label = "prepare",
                                 .context = &u,
                                 .begin_unit = begin_unit,
                                 .begin_part = begin_part,
                                 .take = take,
                                 .end_part = end_part,
                                 .end_unit = end_unit};
    int64_t *units, count = find_missing(encoding, group, &units);
    Status status = group_agree(group, prepare(&u));
    if (status == PAL_OK) status = read_units(encoding->parts, group, units, count, &visitor);
    if (status != PAL_OK) unit_file_abandon(&u.file);
    text_encoder_destroy(&u.encoder);
    token_list_free(&u.tokens);
    XXH3_freeState(u.sum);
    free(u.counts);
    free(units);
    return status;
}
