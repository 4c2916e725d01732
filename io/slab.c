/* SPDX-License-Identifier: Apache-2.0 */
#include "io/slab.h"

#include <stdio.h>
#include <stdlib.h>

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

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* In dimensions d and later, the boxes given fill [0, dims) once: dimension d is cut wherever a box
 * begins or ends, and between two cuts those boxes that lie there fill what is left. */
static bool fill_from(const Slab *slabs, int64_t count, Shape shape, int d)
{
    if (d >= shape.num_dims || d >= PAL_MAX_DIMS) return count == 1;
    int64_t *cuts = fatal_calloc(checked_size(2 * count + 2), sizeof *cuts, "a list of cuts");
    Slab *here = fatal_calloc(checked_size(count + 1), sizeof *here, "a list of boxes");
    int64_t num_cuts = 0;
    cuts[num_cuts++] = 0;
    cuts[num_cuts++] = shape.dims[d];
    for (int64_t i = 0; i < count; i++) {
        cuts[num_cuts++] = slabs[i].first[d];
        cuts[num_cuts++] = slabs[i].first[d] + slabs[i].count[d];
    }
    qsort(cuts, checked_size(num_cuts), sizeof *cuts, by_number);
    bool good = cuts[0] == 0 && cuts[num_cuts - 1] == shape.dims[d];
    for (int64_t c = 0; c + 1 < num_cuts && good; c++) {
        if (cuts[c] == cuts[c + 1]) continue;
        int64_t num_here = 0;
        for (int64_t i = 0; i < count; i++)
            if (slabs[i].first[d] <= cuts[c] &&
                cuts[c + 1] <= slabs[i].first[d] + slabs[i].count[d])
                here[num_here++] = slabs[i];
        good = fill_from(here, num_here, shape, d + 1);
    }
    free(here);
    free(cuts);
    return good;
}

bool slabs_tile(const Slab *slabs, int64_t count, Shape shape)
{
    for (int d = 0; d < shape.num_dims; d++)
        if (shape.dims[d] == 0) return count == 0;
    return fill_from(slabs, count, shape, 0);
}
