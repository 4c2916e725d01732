/* SPDX-License-Identifier: Apache-2.0
 *
 * A unit's file: a head, the counts of its parts, its tokens. No sync: after a power failure the sums
 * tell what is whole.
 */
#define XXH_INLINE_ALL
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/text/work_folder.h"
#include "src/base/checked.h"

typedef struct Head {
    char magic[8];
    uint64_t made_from;
    int64_t num_parts, tokens, token_bytes;
    uint64_t token_sum, count_sum; /* of the tokens; of the counts */
} Head;

static const char magic[8] = "PALUNIT1";

static Status failed(UnitFile *u, const char *what)
{
    PAL_FAIL(PAL_ERROR_IO, "%s: cannot be %s: %s", u->path, what, strerror(errno));
}

static void set_paths(UnitFile *u, const WorkFolder *folder, int64_t number)
{
    snprintf(u->path, sizeof u->path, "%s/unit-%08lld", folder->path, (long long)number);
    snprintf(u->temporary, sizeof u->temporary, "%s.part", u->path);
}

static int64_t tokens_place(const UnitFile *u)
{
    return (int64_t)sizeof(Head) + u->num_parts * (int64_t)sizeof(PartCounts);
}

/* --- writing ---------------------------------------------------------------------------------- */

Status unit_file_create(UnitFile *u, const WorkFolder *folder, int64_t number, uint64_t made_from,
                        int64_t num_parts, size_t token_bytes)
{
    *u = (UnitFile){.made_from = made_from, .num_parts = num_parts, .token_bytes = token_bytes};
    set_paths(u, folder, number);
    u->sum = XXH3_createState();
    if (u->sum == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", u->path);
    XXH3_64bits_reset(u->sum);
    u->file = fopen(u->temporary, "wb");
    if (u->file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be created: %s", u->path, strerror(errno));
    return fseek(u->file, (long)tokens_place(u), SEEK_SET) == 0 ? PAL_OK : failed(u, "written");
}

static Status add_bytes(UnitFile *u, const void *bytes, size_t count)
{
    XXH3_64bits_update(u->sum, bytes, count);
    return fwrite(bytes, 1, count, u->file) == count ? PAL_OK : failed(u, "written");
}

Status unit_file_add(UnitFile *u, const int32_t *tokens, size_t count)
{
    enum { PIECE = 4096 };
    u->tokens += (int64_t)count;
    if (u->token_bytes == sizeof *tokens) return add_bytes(u, tokens, count * sizeof *tokens);
    for (size_t done = 0; done < count;) {
        uint16_t narrow[PIECE];
        size_t n = count - done < PIECE ? count - done : PIECE;
        for (size_t i = 0; i < n; i++) narrow[i] = (uint16_t)tokens[done + i];
        PAL_TRY(add_bytes(u, narrow, n * sizeof *narrow));
        done += n;
    }
    return PAL_OK;
}

Status unit_file_publish(UnitFile *u, const PartCounts *counts)
{
    const size_t bytes = checked_size(u->num_parts) * sizeof *counts;
    Head head = {.made_from = u->made_from,
                 .num_parts = u->num_parts,
                 .tokens = u->tokens,
                 .token_bytes = (int64_t)u->token_bytes,
                 .token_sum = XXH3_64bits_digest(u->sum),
                 .count_sum = XXH3_64bits(counts, bytes)};
    memcpy(head.magic, magic, sizeof magic);
    bool written = fseek(u->file, 0, SEEK_SET) == 0 &&
                   fwrite(&head, sizeof head, 1, u->file) == 1 &&
                   fwrite(counts, 1, bytes, u->file) == bytes && fflush(u->file) == 0;
    if (!written) return failed(u, "written");
    bool closed = fclose(u->file) == 0;
    u->file = NULL;
    if (!closed || rename(u->temporary, u->path) != 0) return failed(u, "written");
    unit_file_close(u);
    return PAL_OK;
}

void unit_file_abandon(UnitFile *u)
{
    if (u->file != NULL) unlink(u->temporary);
    unit_file_close(u);
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_whole(const UnitFile *u, const Head *head, PartCounts *counts)
{
    const size_t bytes = checked_size(u->num_parts) * sizeof *counts;
    bool ours = memcmp(head->magic, magic, sizeof magic) == 0 && head->made_from == u->made_from &&
                head->num_parts == u->num_parts && head->token_bytes == (int64_t)u->token_bytes;
    return ours && fread(counts, 1, bytes, u->file) == bytes &&
           XXH3_64bits(counts, bytes) == head->count_sum && fseek(u->file, 0, SEEK_END) == 0 &&
           ftell(u->file) == tokens_place(u) + head->tokens * head->token_bytes &&
           fseek(u->file, (long)tokens_place(u), SEEK_SET) == 0;
}

bool unit_file_open(UnitFile *u, const WorkFolder *folder, int64_t number, uint64_t made_from,
                    int64_t num_parts, size_t token_bytes, PartCounts *counts)
{
    Head head;
    *u = (UnitFile){.num_parts = num_parts, .token_bytes = token_bytes, .made_from = made_from};
    set_paths(u, folder, number);
    u->file = fopen(u->path, "rb");
    if (u->file == NULL) return false;
    u->sum = XXH3_createState();
    if (u->sum != NULL && fread(&head, sizeof head, 1, u->file) == 1 &&
        is_whole(u, &head, counts)) {
        XXH3_64bits_reset(u->sum);
        u->tokens = head.tokens;
        u->token_sum = head.token_sum;
        return true;
    }
    unit_file_close(u);
    return false;
}

Status unit_file_next(UnitFile *u, void *tokens, size_t room, size_t *count)
{
    *count = fread(tokens, u->token_bytes, room, u->file);
    if (ferror(u->file)) return failed(u, "read");
    XXH3_64bits_update(u->sum, tokens, *count * u->token_bytes);
    u->passed += (int64_t)*count;
    if (*count > 0) return PAL_OK;
    if (u->passed == u->tokens && XXH3_64bits_digest(u->sum) == u->token_sum) return PAL_OK;
    unlink(u->path);
    PAL_FAIL(PAL_ERROR_DATA,
             "%s: is not what was written there; it is removed: start prepare again with the same "
             "arguments, and this part is made anew",
             u->path);
}

void unit_file_close(UnitFile *u)
{
    if (u->file != NULL) fclose(u->file);
    XXH3_freeState(u->sum);
    u->file = NULL;
    u->sum = NULL;
}
