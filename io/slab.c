/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* qsort_r */
#include "io/slab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"

const char *shape_text(Shape shape, char text[96])
{
    size_t length = 0;
    text[length++] = '(';
    for (int d = 0; d < shape.num_dims; d++) {
        int more = snprintf(text + length, 96 - length, "%s%lld", d > 0 ? ", " : "",
                            (long long)shape.dims[d]);
        if (more < 0 || length + (size_t)more > 94) break;
        length += (size_t)more;
    }
    text[length++] = ')';
    text[length] = '\0';
    return text;
}

bool shape_equal(Shape a, Shape b)
{
    if (a.num_dims != b.num_dims) return false;
    for (int d = 0; d < a.num_dims; d++)
        if (a.dims[d] != b.dims[d]) return false;
    return true;
}

Slab shape_slab(Shape shape)
{
    Slab slab = {0};
    for (int d = 0; d < shape.num_dims; d++) slab.count[d] = shape.dims[d];
    return slab;
}

int64_t shape_elements(Shape shape)
{
    int64_t count = 1;
    for (int d = 0; d < shape.num_dims; d++) count *= shape.dims[d];
    return count;
}

int64_t slab_elements(const Slab *slab, int num_dims)
{
    int64_t count = 1;
    for (int d = 0; d < num_dims; d++) count *= slab->count[d];
    return count;
}

/* --- in parts --------------------------------------------------------------------------------- */

/* How a box is cut: dimension `cut` by so many indices, those before it index by index, those after
 * it not at all. */
typedef struct Cutting {
    int cut;
    int64_t at_once;
    int64_t pieces; /* of dimension `cut` */
} Cutting;

static Cutting cutting_of(const Slab *slab, int num_dims, int64_t most)
{
    int64_t after = 1;
    int cut = num_dims - 1;
    while (cut > 0 && after * slab->count[cut] <= most) after *= slab->count[cut--];
    int64_t at_once = most / after;
    return (Cutting){cut, at_once, (slab->count[cut] + at_once - 1) / at_once};
}

int64_t slab_num_parts(const Slab *slab, int num_dims, int64_t most)
{
    if (num_dims == 0 || slab_elements(slab, num_dims) == 0) return slab_elements(slab, num_dims);
    Cutting c = cutting_of(slab, num_dims, most);
    return slab_elements(slab, c.cut) * c.pieces;
}

Slab slab_part(const Slab *slab, int num_dims, int64_t most, int64_t part)
{
    Slab box = *slab;
    if (num_dims == 0) return box;
    Cutting c = cutting_of(slab, num_dims, most);
    int64_t done = part % c.pieces * c.at_once, left = slab->count[c.cut] - done;
    box.first[c.cut] += done;
    box.count[c.cut] = left < c.at_once ? left : c.at_once;
    part /= c.pieces;
    for (int d = c.cut - 1; d >= 0; d--) {
        box.first[d] += part % slab->count[d];
        box.count[d] = 1;
        part /= slab->count[d];
    }
    return box;
}

/* --- put together ----------------------------------------------------------------------------- */

/* No sum is formed that could overflow: slabs may come from a damaged file. */
static bool lies_within(const Slab *slab, Shape shape)
{
    for (int d = 0; d < shape.num_dims; d++)
        if (slab->count[d] < 1 || slab->count[d] > shape.dims[d] || slab->first[d] < 0 ||
            slab->first[d] > shape.dims[d] - slab->count[d])
            return false;
    return true;
}

static int by_first(const void *a, const void *b, void *dimension)
{
    int d = *(const int *)dimension;
    int64_t x = ((const Slab *)a)->first[d], y = ((const Slab *)b)->first[d];
    return (x > y) - (x < y);
}

static int64_t end_of(const Slab *slab, int d) { return slab->first[d] + slab->count[d]; }

/* In dimensions d and later, the boxes given, which lie within, fill [0, dims) once: between two
 * places of dimension d where a box begins or ends, the same boxes fill what is left. Puts them
 * into another order. */
static bool fill_from(Slab *slabs, int64_t count, Shape shape, int d)
{
    if (d >= shape.num_dims || d >= PAL_MAX_DIMS) return count == 1;
    qsort_r(slabs, checked_size(count), sizeof *slabs, by_first, &d);
    Slab *here = fatal_calloc(checked_size(count) + 1, sizeof *here, "a list of boxes");
    int64_t at = 0, next = 0, num_here = 0, used = 0;
    bool good = true;
    for (; at < shape.dims[d] && good; at = next) {
        int64_t kept = 0;
        for (int64_t i = 0; i < num_here; i++)
            if (end_of(&here[i], d) > at) here[kept++] = here[i];
        num_here = kept;
        while (used < count && slabs[used].first[d] == at) here[num_here++] = slabs[used++];
        next = used < count ? slabs[used].first[d] : shape.dims[d];
        for (int64_t i = 0; i < num_here; i++)
            if (end_of(&here[i], d) < next) next = end_of(&here[i], d);
        good = fill_from(here, num_here, shape, d + 1);
    }
    free(here);
    return good;
}

bool slabs_tile(const Slab *slabs, int64_t count, Shape shape)
{
    if (shape_elements(shape) == 0) return count == 0;
    for (int64_t i = 0; i < count; i++)
        if (!lies_within(&slabs[i], shape)) return false;
    Slab *sorted = fatal_calloc(checked_size(count) + 1, sizeof *sorted, "a list of boxes");
    if (count > 0) memcpy(sorted, slabs, checked_size(count) * sizeof *sorted);
    bool good = fill_from(sorted, count, shape, 0);
    free(sorted);
    return good;
}
