/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/read_units.h"

#include "io/text/text_reader.h"
#include "io/text/together.h"

typedef struct Reading {
    const TextParts *parts;
    const UnitVisitor *visitor;
    const int64_t *units; /* (count): every stride-th from `next` on is this rank's */
    int64_t count, next, stride;
    int64_t part;  /* that is being read, of unit units[next] */
    int64_t taken; /* of its cost */
    bool open;     /* it has begun */
    TextReader reader;
} Reading;

static Status begin_part(Reading *r, const TextPart *part)
{
    const UnitVisitor *v = r->visitor;
    int64_t unit = r->units[r->next];
    if (r->part == r->parts->first_part[unit]) PAL_TRY(v->begin_unit(v->context, unit));
    PAL_TRY(v->begin_part(v->context, part));
    r->open = true;
    return text_reader_begin(&r->reader, text_part_document(r->parts, part), *part);
}

static Status end_part(Reading *r, const TextPart *part)
{
    const UnitVisitor *v = r->visitor;
    int64_t unit = r->units[r->next];
    text_reader_end(&r->reader);
    r->open = false;
    PAL_TRY(v->end_part(v->context, part));
    if (++r->part < r->parts->first_part[unit + 1]) return PAL_OK;
    PAL_TRY(v->end_unit(v->context, unit));
    r->next += r->stride;
    if (r->next < r->count) r->part = r->parts->first_part[r->units[r->next]];
    return PAL_OK;
}

/* What a rank's units cost, and 1 each: then nothing is left only when all have ended. */
static int64_t cost_of(const Reading *r, int64_t first, int64_t stride)
{
    int64_t cost = 0;
    for (int64_t i = first; i < r->count; i += stride)
        cost += text_unit_cost(r->parts, r->units[i]) + 1;
    return cost;
}

static Status step(void *context, int64_t *left)
{
    Reading *r = context;
    const TextPart *part = &r->parts->parts[r->part];
    const uint8_t *bytes;
    size_t count;
    const int64_t unit = r->next, cost = text_part_cost(r->parts, part);
    if (!r->open) PAL_TRY(begin_part(r, part));
    PAL_TRY(text_reader_next(&r->reader, &bytes, &count));
    if (count > 0) { /* of packed ones it is not known how much of the file that was */
        bool packed = part->end < 0;
        int64_t more = packed ? 0 : (int64_t)count;
        if (more > cost - r->taken) more = cost - r->taken;
        r->taken += more;
        *left -= more;
        return r->visitor->take(r->visitor->context, bytes, count, r->reader.place);
    }
    *left -= cost - r->taken;
    r->taken = 0;
    PAL_TRY(end_part(r, part));
    *left -= r->next != unit;
    return PAL_OK;
}

Status read_units(const TextParts *parts, const Group *group, const int64_t *units, int64_t count,
                  const UnitVisitor *visitor)
{
    Reading r = {.parts = parts,
                 .visitor = visitor,
                 .units = units,
                 .count = count,
                 .next = group->rank,
                 .stride = group->size};
    if (r.next < count) r.part = parts->first_part[units[r.next]];
    const SharedWork work = {.label = visitor->label,
                             .total = cost_of(&r, 0, 1),
                             .mine = cost_of(&r, r.next, r.stride),
                             .step = step,
                             .context = &r};
    Status status = work_together(group, &work);
    if (r.open) text_reader_end(&r.reader);
    return status;
}
