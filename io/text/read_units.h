/* SPDX-License-Identifier: Apache-2.0
 *
 * All ranks of a group read units of a text (text_parts.h), each its own, and something is done with
 * what is read.
 */
#ifndef PAL_IO_READ_UNITS_H
#define PAL_IO_READ_UNITS_H

#include "io/text/text_parts.h"
#include "mpi/grid.h"

/* What is done, in this order: a unit begins, a part begins, its bytes come in pieces of 1 MiB at
 * most, it ends, the next part begins, ..., the unit ends. */
typedef struct UnitVisitor {
    const char *label; /* of the progress line */
    void *context;
    Status (*begin_unit)(void *context, int64_t unit);
    Status (*begin_part)(void *context, const TextPart *part);
    /* place: of the first byte in the document */
    Status (*take)(void *context, const uint8_t *bytes, size_t count, int64_t place);
    Status (*end_part)(void *context, const TextPart *part);
    Status (*end_unit)(void *context, int64_t unit);
} UnitVisitor;

/* Collective over the group, with the same list of units, which are dealt out in turn. Errors, the
 * same on every rank: of reading, of the visitor; PAL_STOPPED_EARLY. */
Status read_units(const TextParts *parts, const Group *group, const int64_t *units, int64_t count,
                  const UnitVisitor *visitor);

#endif
