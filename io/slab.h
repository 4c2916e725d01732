/* SPDX-License-Identifier: Apache-2.0
 *
 * Shapes of datasets, and boxes within them ("slabs"): how many numbers, cut into parts, put
 * together again. Everything here is local and row-major.
 */
#ifndef PAL_IO_SLAB_H
#define PAL_IO_SLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/tensor.h"

typedef struct Shape {
    int num_dims; /* 0 .. PAL_MAX_DIMS */
    int64_t dims[PAL_MAX_DIMS];
} Shape;

/* A box within a dataset: elements [first, first + count) in every dimension. */
typedef struct Slab {
    int64_t first[PAL_MAX_DIMS];
    int64_t count[PAL_MAX_DIMS];
} Slab;

/* (3, 5) as "(3, 5)". */
const char *shape_text(Shape shape, char text[96]);
bool shape_equal(Shape a, Shape b);
/* The box that is all of it, and its numbers. */
Slab shape_slab(Shape shape);
int64_t shape_elements(Shape shape);

/* Numbers in a box of so many dimensions. */
int64_t slab_elements(const Slab *slab, int num_dims);

/* A box in parts of at most `most` (>= 1) numbers that follow each other in it: how many there are
 * (0 of an empty box), and which is number `part` of them. */
int64_t slab_num_parts(const Slab *slab, int num_dims, int64_t most);
Slab slab_part(const Slab *slab, int num_dims, int64_t most, int64_t part);

/* Whether the boxes, whatever is in them, fill the shape once: no element twice, none left out. */
bool slabs_tile(const Slab *slabs, int64_t count, Shape shape);

#endif
