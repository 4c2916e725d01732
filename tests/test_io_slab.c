/* SPDX-License-Identifier: Apache-2.0
 *
 * Boxes: their parts are small enough, in order and all of them; what fills a shape once is told
 * from what does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "io/slab.h"

/* The number of an element in the order of the whole shape. */
static int64_t number_of(Shape shape, const int64_t at[PAL_MAX_DIMS])
{
    int64_t number = 0;
    for (int d = 0; d < shape.num_dims; d++) number = number * shape.dims[d] + at[d];
    return number;
}

/* Steps to the next element of a box; false after the last one. */
static bool step(const Slab *slab, int num_dims, int64_t at[PAL_MAX_DIMS])
{
    for (int d = num_dims - 1; d >= 0; d--) {
        if (++at[d] < slab->first[d] + slab->count[d]) return true;
        at[d] = slab->first[d];
    }
    return false;
}

/* Appends the numbers of a box's elements, one after another. */
static int64_t list_elements(Shape shape, const Slab *slab, int64_t *numbers)
{
    int64_t at[PAL_MAX_DIMS], count = 0;
    if (slab_elements(slab, shape.num_dims) == 0) return 0;
    memcpy(at, slab->first, sizeof at);
    do numbers[count++] = number_of(shape, at);
    while (step(slab, shape.num_dims, at));
    return count;
}

static void check_parts(Shape shape, Slab box, int64_t most)
{
    int64_t whole[512], parts[512], count = list_elements(shape, &box, whole), found = 0;
    int64_t num_parts = slab_num_parts(&box, shape.num_dims, most);
    for (int64_t i = 0; i < num_parts; i++) {
        Slab part = slab_part(&box, shape.num_dims, most, i);
        int64_t size = slab_elements(&part, shape.num_dims);
        assert_in_range(size, 1, most);
        assert_in_range(found + size, 1, count);
        found += list_elements(shape, &part, parts + found);
    }
    assert_int_equal(found, count);
    assert_memory_equal(parts, whole, (size_t)count * sizeof *whole);
}

static void parts_follow_each_other(void **state)
{
    (void)state;
    const struct {
        Shape shape;
        Slab box;
    } cases[] = {
        {{1, {7}}, {{2}, {5}}},
        {{1, {7}}, {{2}, {0}}},
        {{2, {5, 6}}, {{0, 0}, {5, 6}}},
        {{2, {5, 6}}, {{1, 2}, {3, 4}}},
        {{3, {4, 5, 6}}, {{1, 0, 0}, {3, 5, 6}}},
        {{3, {4, 5, 6}}, {{1, 1, 1}, {1, 3, 5}}},
        {{3, {4, 0, 6}}, {{0, 0, 0}, {4, 0, 6}}},
        {{4, {3, 1, 4, 5}}, {{0, 0, 1, 0}, {3, 1, 2, 5}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int64_t most = 1; most <= 130; most++) check_parts(cases[i].shape, cases[i].box, most);
}

static void one_part_where_it_fits(void **state)
{
    (void)state;
    const Slab box = {{0, 0, 0}, {4, 5, 6}};
    assert_int_equal(slab_num_parts(&box, 3, 120), 1);
    assert_int_equal(slab_num_parts(&box, 3, 119), 2); /* 3 x 5 x 6 and the rest */
    assert_int_equal(slab_num_parts(&box, 3, 30), 4);
    assert_int_equal(slab_num_parts(&box, 3, 29), 8); /* 4 rows of 6, one row; four times */
    assert_int_equal(slab_num_parts(&box, 3, 5), 40); /* of each row 5 numbers and 1 */
}

static void parts_of_a_shape_tile_it(void **state)
{
    (void)state;
    const Shape shape = {3, {4, 5, 6}};
    const Slab box = shape_slab(shape);
    Slab parts[120] = {shape_slab(shape)};
    for (int64_t most = 1; most <= 121; most++) {
        int64_t count = slab_num_parts(&box, 3, most);
        for (int64_t i = 0; i < count; i++) parts[count - 1 - i] = slab_part(&box, 3, most, i);
        assert_true(slabs_tile(parts, count, shape));
        assert_false(slabs_tile(parts, count - 1, shape));
        parts[0].count[2]--;
        assert_false(slabs_tile(parts, count, shape));
    }
}

static void what_does_not_tile(void **state)
{
    (void)state;
    const Shape shape = {2, {4, 6}};
    const Slab pinwheel[] = {
        {{0, 0}, {1, 4}}, {{0, 4}, {3, 2}}, {{3, 1}, {1, 5}}, {{1, 0}, {3, 1}}, {{1, 1}, {2, 3}}};
    assert_true(slabs_tile(pinwheel, 5, shape));
    const Slab twice[] = {{{0, 0}, {4, 6}}, {{1, 1}, {1, 1}}};
    assert_true(slabs_tile(twice, 1, shape));
    assert_false(slabs_tile(twice, 2, shape));
    const Slab beyond = {{0, 0}, {4, 7}}, before = {{0, -1}, {4, 7}}, shifted = {{1, 0}, {4, 6}};
    assert_false(slabs_tile(&beyond, 1, shape));
    assert_false(slabs_tile(&before, 1, shape));
    assert_false(slabs_tile(&shifted, 1, shape));
    assert_false(slabs_tile(NULL, 0, shape));
    assert_true(slabs_tile(NULL, 0, (Shape){2, {4, 0}}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_follow_each_other),
        cmocka_unit_test(one_part_where_it_fits),
        cmocka_unit_test(parts_of_a_shape_tile_it),
        cmocka_unit_test(what_does_not_tile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
