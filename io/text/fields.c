/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/fields.h"

#include <string.h>

void fields_begin(Fields *f, const char *ends, FieldVisitor visit, void *context)
{
    memset(f->ends, 0, sizeof f->ends);
    for (const char *c = ends; *c != '\0'; c++) f->ends[(uint8_t)*c] = true;
    f->num_held = 0;
    f->passed = 0;
    f->visit = visit;
    f->context = context;
}

/* Where a field that is too long is cut: not within a character, if it has any. */
static size_t longest_part(const uint8_t *bytes)
{
    size_t end = PAL_FIELD_BYTES;
    for (int i = 0; i < 3 && (bytes[end - 1] & 0xC0) == 0x80; i++) end--;
    bool begins = bytes[end - 1] >= 0xC0;
    if (!begins) return PAL_FIELD_BYTES;
    size_t needs = bytes[end - 1] >= 0xF0 ? 4 : bytes[end - 1] >= 0xE0 ? 3 : 2;
    bool whole = end - 1 + needs <= PAL_FIELD_BYTES;
    return whole ? PAL_FIELD_BYTES : end - 1;
}

static Status visit(Fields *f, const uint8_t *bytes, size_t length, int end)
{
    PAL_TRY(f->visit(f->context, bytes, length, end));
    f->passed += (int64_t)length + (end >= 0);
    return PAL_OK;
}

/* Fills what is held, and cuts it where it is full. */
static Status hold(Fields *f, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        size_t room = PAL_FIELD_BYTES - f->num_held, taken = count < room ? count : room;
        memcpy(f->held + f->num_held, bytes, taken);
        f->num_held += taken;
        bytes += taken;
        count -= taken;
        if (f->num_held < PAL_FIELD_BYTES) return PAL_OK;
        size_t part = longest_part(f->held);
        PAL_TRY(visit(f, f->held, part, FIELD_CUT));
        f->num_held -= part;
        memmove(f->held, f->held + part, f->num_held);
    }
    return PAL_OK;
}

Status fields_feed(Fields *f, const uint8_t *bytes, size_t count)
{
    const uint8_t *end = bytes + count, *field = bytes;
    for (const uint8_t *b = bytes; b < end; b++) {
        if (!f->ends[*b]) continue;
        size_t length = (size_t)(b - field);
        if (f->num_held == 0 && length < PAL_FIELD_BYTES) {
            PAL_TRY(visit(f, field, length, *b));
        } else {
            PAL_TRY(hold(f, field, length));
            PAL_TRY(visit(f, f->held, f->num_held, *b));
            f->num_held = 0;
        }
        field = b + 1;
    }
    return hold(f, field, (size_t)(end - field));
}

Status fields_end(Fields *f)
{
    PAL_TRY(visit(f, f->held, f->num_held, FIELD_LAST));
    f->num_held = 0;
    return PAL_OK;
}
