/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/text_reader.h"

#include <stdlib.h>
#include <string.h>

Status text_reader_begin(TextReader *r, const TextDocument *document, TextPart part)
{
    /* The byte before the part tells whether a line begins with its first. */
    int64_t first = part.first > 0 ? part.first - 1 : 0;
    *r =
        (TextReader){.document = document, .part = part, .offset = first, .found = part.first == 0};
    r->buffer = malloc(PAL_READ_BYTES);
    if (r->buffer == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", document->path);
    return text_file_open(&r->file, document->path, document->first + first);
}

void text_reader_end(TextReader *r)
{
    text_file_close(&r->file);
    free(r->buffer);
    r->buffer = NULL;
}

/* Up to the document's end into the buffer. */
static Status read_piece(TextReader *r, size_t *count)
{
    int64_t bytes = r->document->bytes;
    size_t size = PAL_READ_BYTES;
    if (bytes >= 0 && bytes - r->offset < (int64_t)size) size = (size_t)(bytes - r->offset);
    *count = 0;
    if (size > 0) PAL_TRY(text_file_read(r->file, r->buffer, size, count));
    if (bytes >= 0 && *count < size)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: became shorter while it was read: no byte %lld, expected %lld bytes",
                 r->document->path, (long long)(r->document->first + r->offset + (int64_t)*count),
                 (long long)(r->document->first + bytes));
    r->offset += (int64_t)*count;
    return PAL_OK;
}

/* The place in the buffer behind the first line that ends at or behind `from`; count: none does. */
static size_t behind_line(const TextReader *r, size_t from, size_t count)
{
    if (from >= count) return count;
    const uint8_t *end = memchr(r->buffer + from, '\n', count - from);
    return end != NULL ? (size_t)(end - r->buffer) + 1 : count;
}

Status text_reader_next(TextReader *r, const uint8_t **bytes, size_t *count)
{
    *count = 0;
    while (!r->ended && *count == 0) {
        size_t got, begin = 0, end;
        PAL_TRY(read_piece(r, &got));
        const int64_t piece = r->offset - (int64_t)got; /* of the piece's first byte */
        const int64_t last = r->part.end - 1;           /* a line that ends here or later is last */
        if (!r->found) {
            begin = behind_line(r, 0, got);
            r->found = begin < got || (begin > 0 && r->buffer[begin - 1] == '\n');
            r->begin = piece + (int64_t)begin;
        }
        end = got;
        if (r->part.end >= 0 && piece + (int64_t)got > last) {
            int64_t from = last > piece ? last - piece : 0;
            end = behind_line(r, (size_t)from, got);
            /* The line goes on in the next piece where none has ended. */
            r->ended = end > 0 && r->buffer[end - 1] == '\n';
        }
        if (got == 0) r->ended = true;
        bool none = !r->found || (r->part.end >= 0 && r->begin >= r->part.end && r->part.first > 0);
        if (none && r->part.end >= 0 && r->offset >= r->part.end) r->ended = true;
        if (r->found && !none && end > begin) {
            *bytes = r->buffer + begin;
            *count = end - begin;
            r->place = piece + (int64_t)begin;
        }
    }
    return PAL_OK;
}
