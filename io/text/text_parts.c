/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/text_parts.h"

#include <stdlib.h>

#include "io/text/text_file.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

static bool is_whole(const TextDocument *document) { return text_is_packed(document->path); }

/* Parts of a document: at least one, also of an empty one. */
static int64_t count_parts(const TextDocument *document, int64_t part_bytes)
{
    if (is_whole(document) || document->bytes <= part_bytes) return 1;
    return (document->bytes + part_bytes - 1) / part_bytes;
}

static void add_document(TextParts *p, Split split, int64_t d, int64_t part_bytes)
{
    const TextDocument *document = &p->source->documents[split][d];
    int64_t count = count_parts(document, part_bytes);
    for (int64_t i = 0; i < count; i++) {
        int64_t end = i + 1 < count ? (i + 1) * part_bytes : document->bytes;
        p->parts[p->num_parts++] = (TextPart){split, d, i * part_bytes, end};
    }
}

int64_t text_part_cost(const TextParts *p, const TextPart *part)
{
    const TextDocument *document = text_part_document(p, part);
    return is_whole(document) ? document->on_disk : part->end - part->first;
}

int64_t text_unit_cost(const TextParts *p, int64_t unit)
{
    int64_t cost = 0;
    for (int64_t i = p->first_part[unit]; i < p->first_part[unit + 1]; i++)
        cost += text_part_cost(p, &p->parts[i]);
    return cost;
}

/* A unit is full before it would become larger than it is to be. */
static void gather_units(TextParts *p, int64_t unit_bytes)
{
    int64_t filled = 0;
    for (int64_t i = 0; i < p->num_parts; i++) {
        int64_t cost = text_part_cost(p, &p->parts[i]);
        bool begins = i == 0 || p->parts[i].split != p->parts[i - 1].split;
        if (begins || filled + cost > unit_bytes) {
            p->first_part[p->num_units++] = i;
            filled = 0;
        }
        filled += cost;
    }
    p->first_part[p->num_units] = p->num_parts;
}

void text_parts_create(TextParts *p, const TextSource *source, int64_t unit_bytes)
{
    int64_t count = 0;
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++)
            count += count_parts(&source->documents[s][d], unit_bytes);
    *p = (TextParts){.source = source};
    p->parts = fatal_calloc(checked_size(count) + 1, sizeof *p->parts, "parts of the text");
    p->first_part = fatal_calloc(checked_size(count) + 1, sizeof *p->first_part, "units of text");
    for (int s = 0; s < SPLIT_COUNT; s++)
        for (int64_t d = 0; d < source->count[s]; d++) add_document(p, (Split)s, d, unit_bytes);
    gather_units(p, unit_bytes);
}

void text_parts_destroy(TextParts *p)
{
    free(p->parts);
    free(p->first_part);
    *p = (TextParts){0};
}
