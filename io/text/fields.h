/* SPDX-License-Identifier: Apache-2.0
 *
 * Text cut at certain bytes (spaces, line ends) into fields, which may come in pieces of any length:
 * what is cut where does not depend on the pieces. No field gets longer than PAL_FIELD_BYTES; what is
 * longer is cut between two characters of UTF-8, as far as there are any.
 */
#ifndef PAL_IO_FIELDS_H
#define PAL_IO_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/status.h"

enum { PAL_FIELD_BYTES = 4096 };

/* What is behind a field, where it is no byte. */
enum { FIELD_CUT = -1, FIELD_LAST = -2 }; /* more of it; the end of the text */

/* A field (bytes may be NULL where it is empty), the byte that ends it, or one of the above. */
typedef Status (*FieldVisitor)(void *context, const uint8_t *bytes, size_t length, int end);

typedef struct Fields {
    bool ends[256];                /* the bytes that end a field */
    uint8_t held[PAL_FIELD_BYTES]; /* the beginning of a field, from the pieces before */
    size_t num_held;
    int64_t passed; /* bytes of the text before the field that goes on */
    FieldVisitor visit;
    void *context;
} Fields;

/* Local. `ends`: the bytes that end fields. */
void fields_begin(Fields *fields, const char *ends, FieldVisitor visit, void *context);
/* Local. The next bytes of the text. Errors: what `visit` returned. */
Status fields_feed(Fields *fields, const uint8_t *bytes, size_t count);
/* Local. The end of the text: the last field is visited, also when it is empty. */
Status fields_end(Fields *fields);

#endif
