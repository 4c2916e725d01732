/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const TextDocument *current(const TextReader *r)
{
    return &r->source->documents[r->split][r->document];
}

/* The document that holds the next byte: `offset` may lie beyond the one that was read. */
static void find_document(TextReader *r)
{
    while (r->split < SPLIT_COUNT) {
        if (r->document == r->source->count[r->split]) {
            r->split = (Split)(r->split + 1);
            r->document = r->document_first = 0;
        } else {
            int64_t bytes = current(r)->bytes;
            if (r->offset < bytes) return;
            r->offset -= bytes;
            r->document_first += bytes;
            r->document++;
        }
    }
}

void text_reader_begin(TextReader *r, const TextSource *source, Range part)
{
    *r = (TextReader){.source = source, .left = part.count, .offset = part.first, .descriptor = -1};
    find_document(r);
}

void text_reader_end(TextReader *r)
{
    if (r->descriptor >= 0) close(r->descriptor);
    r->descriptor = -1;
}

/* Bytes from `offset` of the document on. */
static Status read_bytes(const TextReader *r, int64_t offset, uint8_t *bytes, size_t count)
{
    const TextDocument *document = current(r);
    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(r->descriptor, bytes + done, count - done,
                            document->first + offset + (int64_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", document->path, strerror(errno));
        if (got == 0)
            PAL_FAIL(PAL_ERROR_DATA,
                     "%s: became shorter while it was read: no byte %lld, expected %lld bytes",
                     document->path, (long long)(document->first + offset + (int64_t)done),
                     (long long)(document->first + document->bytes));
        done += (size_t)got;
    }
    return PAL_OK;
}

static Status open_document(TextReader *r)
{
    const char *path = current(r)->path;
    r->before = ' ';
    r->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (r->descriptor < 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    return r->offset > 0 ? read_bytes(r, r->offset - 1, &r->before, 1) : PAL_OK;
}

Status text_reader_next(TextReader *r, uint8_t *bytes, size_t size, TextPiece *piece)
{
    *piece = (TextPiece){0};
    if (r->left == 0) return PAL_OK;
    if (r->descriptor < 0) PAL_TRY(open_document(r));

    int64_t rest = current(r)->bytes - r->offset;
    int64_t most = rest < r->left ? rest : r->left;
    size_t count = most < (int64_t)size ? (size_t)most : size;
    PAL_TRY(read_bytes(r, r->offset, bytes, count));
    *piece = (TextPiece){r->split, r->document, r->document_first + r->offset, count, r->before};

    r->before = bytes[count - 1];
    r->offset += (int64_t)count;
    r->left -= (int64_t)count;
    if ((int64_t)count == rest) {
        text_reader_end(r);
        find_document(r);
    }
    return PAL_OK;
}
