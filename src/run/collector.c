/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/collector.h"

#include <stdlib.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/statistics.h"
#include "src/run/losses_file.h"

void collector_create(Collector *c, Arena *arena, const DataSplit *split, int64_t positions)
{
    size_t documents = checked_size(split->documents);
    *c = (Collector){.split = split, .quantity = "nats"};
    c->window_nats =
        arena_host(arena, PURPOSE_DATA, checked_size(positions + 1) * sizeof *c->window_nats);
    c->nats = arena_host(arena, PURPOSE_DATA, (documents + 1) * sizeof *c->nats);
    c->tokens = arena_host(arena, PURPOSE_DATA, (documents + 1) * sizeof *c->tokens);
}

Status collector_begin(Collector *c, bool losses)
{
    int64_t documents = c->split->documents;
    c->status = PAL_OK;
    for (int64_t d = 0; d < documents; d++) c->nats[d] = c->tokens[d] = 0.0;
    for (int b = 0; c->frequency != NULL && b < FREQUENCY_BUCKETS; b++)
        c->frequency->tokens[b] = c->frequency->nats[b] = 0.0;
    if (losses) c->token_nats = calloc(checked_size(documents), sizeof *c->token_nats);
    if (losses && c->token_nats == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "no memory for the losses of %lld documents",
                 (long long)documents);
    return PAL_OK;
}

void collector_forget(Collector *c)
{
    if (c->token_nats == NULL) return;
    for (int64_t d = 0; d < c->split->documents; d++) free(c->token_nats[d]);
    free(c->token_nats);
    c->token_nats = NULL;
}

static int64_t document_tokens(const DataSplit *split, int64_t d)
{
    return split->offsets[d + 1] - split->offsets[d];
}

/* Which documents this rank reads is only known while reading: buffers come with the first
 * window. NULL: none are kept, or there is no memory. */
static float *token_buffer(Collector *c, int64_t document)
{
    if (c->token_nats == NULL) return NULL;
    float **buffer = &c->token_nats[document];
    int64_t tokens = document_tokens(c->split, document);
    if (*buffer == NULL && c->status == PAL_OK) {
        *buffer = calloc(checked_size(tokens), sizeof **buffer);
        if (*buffer == NULL)
            c->status =
                PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "no memory for the losses of '%s' (%lld tokens)",
                            c->split->names[document], (long long)tokens);
    }
    return *buffer;
}

void collector_add(Collector *c, const Window *window, const RowWindow *rows)
{
    int64_t length = window->length;
    for (int b = 0; b < window->rows; b++) {
        if (window->counted[b] == 0) continue;
        const RowWindow *row = &rows[window->first_row + b];
        float *buffer = token_buffer(c, row->document);
        c->tokens[row->document] += window->counted[b];
        for (int t = 0; t < window->counted[b]; t++) {
            Real value = c->window_nats[b * length + t];
            c->nats[row->document] += (double)value;
            if (buffer != NULL) buffer[row->offset + t] = (float)value;
            if (c->frequency != NULL)
                frequency_add(c->frequency, window->targets[b * length + t], (double)value);
        }
    }
}

/* What a paper prints has to be of the whole text, and of nothing twice. */
static Status check_tokens(const Collector *c)
{
    for (int64_t d = 0; d < c->split->documents; d++)
        if (c->tokens[d] != (double)document_tokens(c->split, d))
            PAL_FAIL(PAL_ERROR_INTERNAL,
                     "'%s': %.0f of its tokens were counted, expected each of its %lld once; "
                     "please report this as a bug of palimpsest",
                     c->split->names[d], c->tokens[d], (long long)document_tokens(c->split, d));
    return PAL_OK;
}

Status collector_end(Collector *c, const Group *group, const char *losses)
{
    int documents = checked_int(c->split->documents);
    PAL_TRY(group_agree(group, c->status));
    group_sum_double(group, c->nats, documents);
    group_sum_double(group, c->tokens, documents);
    for (int d = 0; d < documents; d++) c->nats[d] = statistics_printable(c->nats[d]);
    if (c->frequency != NULL) {
        group_sum_double(group, c->frequency->tokens, FREQUENCY_BUCKETS);
        group_sum_double(group, c->frequency->nats, FREQUENCY_BUCKETS);
    }
    PAL_TRY(check_tokens(c));
    return losses != NULL ? losses_file_write(losses, group, c->split, c->quantity, c->token_nats)
                          : PAL_OK;
}
