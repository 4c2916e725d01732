/* SPDX-License-Identifier: Apache-2.0 */
#include "io/tokenize.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/text_reader.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/host.h"
#include "src/base/progress.h"
#include "src/base/stop.h"
#include "src/base/whereabouts.h"

enum { BUFFER_BYTES = 1 << 20 };

/* What a rank brings to a vote: how much of its part is left, in millionths; above that the reason
 * why all should stop, and above all that it cannot go on. */
enum { WHOLE = 1000000, FAILED = WHOLE + STOP_COUNT };

typedef struct Tokenizing {
    const Group *group;
    SharedFile *file;
    const int64_t *places; /* (SPLIT_COUNT) */
    double *const *words;  /* (SPLIT_COUNT) (documents) */
    Range part;            /* of the text's bytes: this rank's */
    TextReader reader;
    uint8_t *bytes;   /* (BUFFER_BYTES) */
    uint16_t *tokens; /* (BUFFER_BYTES) */
} Tokenizing;

/* isspace() of the C locale. */
static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* Words that begin in these bytes. */
static int64_t count_words(const uint8_t *bytes, size_t count, uint8_t before)
{
    bool in_word = !is_space(before);
    int64_t words = 0;
    for (size_t i = 0; i < count; i++) {
        bool letter = !is_space(bytes[i]);
        words += letter && !in_word;
        in_word = letter;
    }
    return words;
}

static Status convert_piece(Tokenizing *t)
{
    TextPiece piece;
    PAL_TRY(text_reader_next(&t->reader, t->bytes, BUFFER_BYTES, &piece));
    t->words[piece.split][piece.document] +=
        (double)count_words(t->bytes, piece.count, piece.before);
    for (size_t i = 0; i < piece.count; i++) t->tokens[i] = t->bytes[i];
    const int64_t size = sizeof *t->tokens, place = t->places[piece.split] + piece.first * size;
    return shared_file_write(t->file, (FilePieces){(int64_t)piece.count * size, 1, &place},
                             t->tokens);
}

static int ballot(const Tokenizing *t, Status status)
{
    StopReason reason = stop_requested();
    if (status != PAL_OK) return FAILED;
    if (reason != STOP_NONE) return WHOLE + (int)reason;
    if (t->reader.left == 0) return 0;
    return 1 + (int)((WHOLE - 1) * ((double)t->reader.left / (double)t->part.count));
}

/* Which rank it was matters where files are not the same on all nodes. */
static void add_rank_to_message(const Group *group)
{
    char message[2048];
    if (group->size == 1) return;
    snprintf(message, sizeof message, "%.1700s (rank %d on host %s)", status_message(), group->rank,
             host_name());
    status_set_message(message);
}

static Status stopped(const Tokenizing *t, StopReason reason)
{
    double done = (double)(t->part.count - t->reader.left);
    group_sum_double(t->group, &done, 1);
    PAL_FAIL(PAL_STOPPED_EARLY, "prepare: stopped after %.1f of %.1f MB, nothing was written: %s",
             1e-6 * done, 1e-6 * (double)t->reader.source->total_bytes, stop_text(reason));
}

/* All go on until all know that nothing is left, that one cannot go on, or that they are asked to
 * stop. Nobody waits for the slower ones to vote while it has work. */
static Status convert_all(Tokenizing *t)
{
    const int64_t total = t->reader.source->total_bytes;
    Progress progress = progress_begin("prepare", total, "MB");
    progress.scale = 1e-6;
    Status status = PAL_OK;
    Vote vote = {0};
    int most = WHOLE;
    (void)group_vote(t->group, &vote, most);
    while (most > 0 && most <= WHOLE) {
        bool works = status == PAL_OK && t->reader.left > 0;
        whereabouts_progress();
        if (works) status = convert_piece(t);
        if (works && !group_vote_ready(t->group, &vote)) continue;
        most = group_vote(t->group, &vote, ballot(t, status));
        if (most <= WHOLE) progress_show(&progress, total - (int64_t)(1e-6 * most * (double)total));
    }
    (void)group_vote_end(t->group, &vote);
    if (status != PAL_OK) add_rank_to_message(t->group);
    PAL_TRY(group_agree(t->group, status));
    return most > WHOLE ? stopped(t, (StopReason)(most - WHOLE)) : PAL_OK;
}

Status tokenize(const TextSource *source, const Group *group, SharedFile *file,
                const int64_t places[SPLIT_COUNT], double *const words[SPLIT_COUNT])
{
    Tokenizing t = {.group = group, .file = file, .places = places, .words = words};
    t.part = partition_range(source->total_bytes, group->size, group->rank);
    t.bytes = fatal_calloc(BUFFER_BYTES, 1, "bytes of the text");
    t.tokens = fatal_calloc(BUFFER_BYTES, sizeof *t.tokens, "tokens of the text");
    text_reader_begin(&t.reader, source, t.part);
    Status status = convert_all(&t);
    text_reader_end(&t.reader);
    free(t.tokens);
    free(t.bytes);
    if (status != PAL_OK) return status;
    for (int s = 0; s < SPLIT_COUNT; s++)
        group_sum_double(group, words[s], checked_int(source->count[s]));
    return PAL_OK;
}
