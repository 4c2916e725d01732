/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { PACKED_BYTES = 1 << 17 };

/* How one kind of file is read. */
typedef struct Unpacker {
    const char *ending, *name; /* of the file's name; of the program that packs so */
    unsigned char magic[4];
    size_t magic_bytes;
    Status (*begin)(TextFile *);
    Status (*read)(TextFile *, uint8_t *bytes, size_t size, size_t *count);
    void (*end)(TextFile *);
} Unpacker;

struct TextFile {
    const Unpacker *unpacker;
    char *path;
    int descriptor;
    uint8_t *packed; /* (PACKED_BYTES) of packed files: what is still to be unpacked */
    size_t packed_first, packed_end;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool between; /* packed: everything so far belongs to archives that have ended */
    bool pending; /* the unpacker may have more text without any more bytes */
};

/* --- bytes of the disk ------------------------------------------------------------------------ */

static Status read_disk(TextFile *f, uint8_t *bytes, size_t size, size_t *count)
{
    *count = 0;
    while (*count < size) {
        ssize_t got = read(f->descriptor, bytes + *count, size - *count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", f->path, strerror(errno));
        if (got == 0) break;
        *count += (size_t)got;
    }
    return PAL_OK;
}

/* More to unpack; *ended where the file has no more, which is right only between archives. */
static Status refill(TextFile *f, bool *ended)
{
    *ended = false;
    if (f->pending || f->packed_first < f->packed_end) return PAL_OK;
    f->packed_first = 0;
    PAL_TRY(read_disk(f, f->packed, PACKED_BYTES, &f->packed_end));
    *ended = f->packed_end == 0;
    if (*ended && !f->between)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is cut short: the archive ends before its text; copy or pack it again",
                 f->path);
    return PAL_OK;
}

static Status damaged(const TextFile *f, const char *reason)
{
    PAL_FAIL(PAL_ERROR_DATA, "%s: is damaged: %s says: %s; copy or pack it again", f->path,
             f->unpacker->name, reason);
}

/* --- the three kinds -------------------------------------------------------------------------- */

static Status plain_begin(TextFile *f)
{
    (void)f;
    return PAL_OK;
}

static void plain_end(TextFile *f) { (void)f; }

static Status gzip_begin(TextFile *f)
{
    enum { LARGEST_WINDOW = 15, GZIP_ONLY = 16 };
    if (inflateInit2(&f->gzip, LARGEST_WINDOW + GZIP_ONLY) != Z_OK)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory to unpack it", f->path);
    return PAL_OK;
}

/* A file may be several archives, one behind the other. */
static Status gzip_read(TextFile *f, uint8_t *bytes, size_t size, size_t *count)
{
    z_stream *z = &f->gzip;
    z->next_out = bytes;
    z->avail_out = (uInt)size;
    while (z->avail_out > 0) {
        bool ended;
        PAL_TRY(refill(f, &ended));
        if (ended) break;
        f->between = false;
        z->next_in = f->packed + f->packed_first;
        z->avail_in = (uInt)(f->packed_end - f->packed_first);
        int result = inflate(z, Z_NO_FLUSH);
        f->packed_first = f->packed_end - z->avail_in;
        f->pending = z->avail_out == 0 && result == Z_OK;
        if (result == Z_STREAM_END) {
            f->between = true;
            inflateReset(z);
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return damaged(f, z->msg != NULL ? z->msg : "no valid data");
        }
    }
    *count = size - z->avail_out;
    return PAL_OK;
}

static void gzip_end(TextFile *f) { inflateEnd(&f->gzip); }

static Status zstd_begin(TextFile *f)
{
    f->zstd = ZSTD_createDStream();
    if (f->zstd == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory to unpack it", f->path);
    return PAL_OK;
}

static Status zstd_read(TextFile *f, uint8_t *bytes, size_t size, size_t *count)
{
    ZSTD_outBuffer out = {bytes, size, 0};
    while (out.pos < out.size) {
        bool ended;
        PAL_TRY(refill(f, &ended));
        if (ended) break;
        ZSTD_inBuffer in = {f->packed, f->packed_end, f->packed_first};
        size_t result = ZSTD_decompressStream(f->zstd, &out, &in);
        if (ZSTD_isError(result)) return damaged(f, ZSTD_getErrorName(result));
        f->packed_first = in.pos;
        f->between = result == 0;
        f->pending = out.pos == out.size && result != 0;
    }
    *count = out.pos;
    return PAL_OK;
}

static void zstd_end(TextFile *f) { ZSTD_freeDStream(f->zstd); }

static const Unpacker unpackers[] = {
    {.ending = ".gz",
     .name = "gzip",
     .magic = {0x1f, 0x8b},
     .magic_bytes = 2,
     .begin = gzip_begin,
     .read = gzip_read,
     .end = gzip_end},
    {.ending = ".zst",
     .name = "zstd",
     .magic = {0x28, 0xb5, 0x2f, 0xfd},
     .magic_bytes = 4,
     .begin = zstd_begin,
     .read = zstd_read,
     .end = zstd_end},
};
static const Unpacker plain = {.begin = plain_begin, .read = read_disk, .end = plain_end};

static const Unpacker *unpacker_of(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof unpackers / sizeof *unpackers; i++) {
        size_t ending = strlen(unpackers[i].ending);
        if (length > ending && strcmp(name + length - ending, unpackers[i].ending) == 0)
            return &unpackers[i];
    }
    return &plain;
}

/* --- names ------------------------------------------------------------------------------------ */

bool text_is_packed(const char *name) { return unpacker_of(name) != &plain; }

size_t text_plain_length(const char *name)
{
    const char *ending = unpacker_of(name)->ending;
    return strlen(name) - (ending != NULL ? strlen(ending) : 0);
}

/* --- opening ---------------------------------------------------------------------------------- */

static Status check_beginning(const TextFile *f, const uint8_t *bytes, size_t count)
{
    const Unpacker *u = f->unpacker;
    static const uint8_t zip[4] = {'P', 'K', 3, 4};
    if (count >= sizeof zip && memcmp(bytes, zip, sizeof zip) == 0)
        PAL_FAIL(PAL_ERROR_DATA, "%s: is a ZIP archive, expected text; unpack it first (unzip)",
                 f->path);
    if (u->magic_bytes > 0 && (count < u->magic_bytes || memcmp(bytes, u->magic, u->magic_bytes)))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is called %s, but is nothing that %s has packed; give it the right name, or "
                 "copy it again",
                 f->path, u->ending, u->name);
    return PAL_OK;
}

static Status look_at_beginning(const TextFile *f)
{
    uint8_t bytes[4];
    ssize_t got;
    do got = pread(f->descriptor, bytes, sizeof bytes, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", f->path, strerror(errno));
    return check_beginning(f, bytes, (size_t)got);
}

static Status drop(TextFile *f, int64_t count)
{
    uint8_t *bytes = malloc(PACKED_BYTES);
    if (bytes == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", f->path);
    Status status = PAL_OK;
    size_t got = 1;
    while (status == PAL_OK && count > 0 && got > 0) {
        size_t size = count < PACKED_BYTES ? (size_t)count : PACKED_BYTES;
        status = text_file_read(f, bytes, size, &got);
        count -= (int64_t)got;
    }
    free(bytes);
    return status;
}

static Status begin(TextFile *f, const char *path, int64_t first)
{
    f->unpacker = &plain; /* until the other one has begun */
    f->path = strdup(path);
    if (f->path == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    f->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (f->descriptor < 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    if (!text_is_packed(path)) {
        PAL_TRY(look_at_beginning(f));
        if (first > 0 && lseek(f->descriptor, first, SEEK_SET) < 0)
            PAL_FAIL(PAL_ERROR_IO, "%s: cannot be read: %s", path, strerror(errno));
        return PAL_OK;
    }
    f->between = true;
    f->packed = malloc(PACKED_BYTES);
    if (f->packed == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    PAL_TRY(unpacker_of(path)->begin(f));
    f->unpacker = unpacker_of(path);
    PAL_TRY(look_at_beginning(f));
    return drop(f, first);
}

Status text_file_open(TextFile **file, const char *path, int64_t first)
{
    *file = calloc(1, sizeof **file);
    if (*file == NULL) PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    (*file)->descriptor = -1;
    Status status = begin(*file, path, first);
    if (status != PAL_OK) text_file_close(file);
    return status;
}

Status text_file_read(TextFile *file, uint8_t *bytes, size_t size, size_t *count)
{
    *count = 0;
    return file->unpacker->read(file, bytes, size, count);
}

void text_file_close(TextFile **file)
{
    TextFile *f = *file;
    if (f == NULL) return;
    f->unpacker->end(f);
    if (f->descriptor >= 0) close(f->descriptor);
    free(f->packed);
    free(f->path);
    free(f);
    *file = NULL;
}

Status text_file_measure(const char *path, int64_t *bytes)
{
    enum { PIECE = 1 << 18 };
    *bytes = 0;
    TextFile *file;
    PAL_TRY(text_file_open(&file, path, 0));
    uint8_t *piece = malloc(PIECE);
    Status status = PAL_OK;
    size_t got = 1;
    if (piece == NULL) status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path);
    while (status == PAL_OK && got > 0) {
        status = text_file_read(file, piece, PIECE, &got);
        *bytes += (int64_t)got;
    }
    free(piece);
    text_file_close(&file);
    return status;
}
