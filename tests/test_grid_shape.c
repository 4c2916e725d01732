/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of a process grid against a search through all shapes, and the message where there is
 * none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/grid_shape.h"

static bool allowed(GridShape s, const GridLimits *l)
{
    return s.tensor > 0 && s.data * s.pipeline * s.tensor == l->ranks && s.data <= l->rows &&
           s.pipeline <= l->layers && l->heads % s.tensor == 0 && l->feed_forward % s.tensor == 0 &&
           l->window_groups % s.tensor == 0;
}

static bool wished(GridShape s, GridShape wish, const GridLimits *l)
{
    bool in_node = l->ranks_per_node % s.tensor == 0;
    return (wish.data == 0 || s.data == wish.data) &&
           (wish.pipeline == 0 || s.pipeline == wish.pipeline) &&
           (wish.tensor == 0 ? in_node : s.tensor == wish.tensor);
}

/* Every shape that is allowed stands in the message, and no other. */
static void check_message(const GridLimits *l)
{
    char text[64], list[2048];
    const char *found = strstr(status_message(), " can be ");
    snprintf(list, sizeof list, "%s,", found != NULL ? found : "");
    int expected = 0, listed = 0;
    for (int data = 1; data <= l->ranks; data++)
        for (int pipeline = 1; pipeline <= l->ranks; pipeline++) {
            GridShape shape = {data, pipeline, l->ranks / (data * pipeline)};
            if (!allowed(shape, l)) continue;
            snprintf(text, sizeof text, " %d x %d x %d,", data, pipeline, shape.tensor);
            if (strstr(list, text) == NULL) fail_msg("%s is not in: %s", text, status_message());
            expected++;
        }
    for (const char *c = list; *c != '\0'; c++) listed += *c == 'x';
    assert_int_equal(listed, 2 * expected);
    bool none = strstr(status_message(), "no grid has as many ranks; start fewer") != NULL;
    assert_int_equal(none, expected == 0);
    snprintf(text, sizeof text, "does not fit %d rank", l->ranks);
    assert_non_null(strstr(status_message(), text));
}

/* Of the shapes that are allowed and wished: most data ranks, then most tensor ranks. */
static void check_choice(GridShape wish, const GridLimits *l)
{
    GridShape best = {0}, found = {-1, -1, -1};
    for (int data = 1; data <= l->ranks; data++)
        for (int tensor = 1; tensor <= l->ranks; tensor++)
            for (int pipeline = 1; pipeline <= l->ranks; pipeline++) {
                GridShape shape = {data, pipeline, tensor};
                if (allowed(shape, l) && wished(shape, wish, l)) best = shape;
            }
    status_set_message("");
    Status status = grid_shape_choose(&found, wish, l);
    if (best.data == 0) {
        assert_int_equal(status, PAL_ERROR_CONFIG);
        assert_int_equal(found.data, -1);
        check_message(l);
        return;
    }
    assert_int_equal(status, PAL_OK);
    if (memcmp(&found, &best, sizeof best) != 0)
        fail_msg("%d ranks: found %d x %d x %d, expected %d x %d x %d", l->ranks, found.data,
                 found.pipeline, found.tensor, best.data, best.pipeline, best.tensor);
}

static void check_wishes(const GridLimits *l)
{
    static const int wishes[] = {0, 1, 2, 3, 4, 6, 24};
    enum { NUM = sizeof wishes / sizeof *wishes };
    for (int d = 0; d < NUM; d++)
        for (int p = 0; p < NUM; p++)
            for (int t = 0; t < NUM; t++)
                check_choice((GridShape){wishes[d], wishes[p], wishes[t]}, l);
}

static void the_best_of_all_shapes_is_chosen(void **state)
{
    (void)state;
    static const GridLimits limits[] = {
        {.ranks_per_node = 4,
         .rows = 2,
         .layers = 3,
         .heads = 4,
         .feed_forward = 8,
         .window_groups = 4},
        {.ranks_per_node = 6,
         .rows = 64,
         .layers = 12,
         .heads = 12,
         .feed_forward = 24,
         .window_groups = 36},
        {.ranks_per_node = 24,
         .rows = 1,
         .layers = 2,
         .heads = 6,
         .feed_forward = 20,
         .window_groups = 12},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        for (int ranks = 1; ranks <= 24; ranks++) {
            GridLimits l = limits[i];
            l.ranks = ranks;
            check_wishes(&l);
        }
}

static void assert_chosen(const GridLimits *l, GridShape wish, GridShape expected)
{
    GridShape found = {0};
    assert_int_equal(grid_shape_choose(&found, wish, l), PAL_OK);
    assert_memory_equal(&found, &expected, sizeof expected);
}

static void known_choices(void **state)
{
    (void)state;
    const GridLimits l = {.ranks = 16,
                          .ranks_per_node = 4,
                          .rows = 4,
                          .layers = 4,
                          .heads = 8,
                          .feed_forward = 64,
                          .window_groups = 16};
    const GridLimits many_rows = {.ranks = 16,
                                  .ranks_per_node = 4,
                                  .rows = 16,
                                  .layers = 4,
                                  .heads = 8,
                                  .feed_forward = 64,
                                  .window_groups = 16};
    assert_chosen(&many_rows, (GridShape){0}, (GridShape){16, 1, 1});
    assert_chosen(&l, (GridShape){0}, (GridShape){4, 1, 4});
    assert_chosen(&l, (GridShape){.pipeline = 2}, (GridShape){4, 2, 2});
    assert_chosen(&l, (GridShape){.data = 1}, (GridShape){1, 4, 4});
    /* More than a node has, where it is asked for. */
    assert_chosen(&l, (GridShape){.tensor = 8}, (GridShape){2, 1, 8});
    assert_chosen(&l, (GridShape){2, 4, 2}, (GridShape){2, 4, 2});
}

static void assert_refused(const GridLimits *l, GridShape wish, const char *piece)
{
    GridShape found = {0};
    assert_int_equal(grid_shape_choose(&found, wish, l), PAL_ERROR_CONFIG);
    if (strstr(status_message(), piece) == NULL) fail_msg("'%s' in: %s", piece, status_message());
}

static void refusals_say_what_is_possible(void **state)
{
    (void)state;
    const GridLimits l = {.ranks = 6,
                          .ranks_per_node = 6,
                          .rows = 2,
                          .layers = 3,
                          .heads = 4,
                          .feed_forward = 8,
                          .window_groups = 4};
    /* Three do not divide four heads. */
    assert_refused(&l, (GridShape){.tensor = 3}, "data auto x pipeline auto x tensor 3 does not");
    assert_refused(&l, (GridShape){.tensor = 3}, "can be 2 x 3 x 1, 1 x 3 x 2");
    assert_refused(&l, (GridShape){3, 2, 1}, "data 3 x pipeline 2 x tensor 1 does not fit 6");
    assert_refused(&l, (GridShape){2, 2, 2}, "heads = 4, feed_forward = 8");
    assert_refused(&l, (GridShape){1 << 20, 1 << 20, 1 << 20}, "does not fit 6 ranks");
    const GridLimits prime = {.ranks = 7,
                              .ranks_per_node = 7,
                              .rows = 2,
                              .layers = 3,
                              .heads = 4,
                              .feed_forward = 8,
                              .window_groups = 4};
    assert_refused(&prime, (GridShape){0}, "no grid has as many ranks; start fewer");
}

/* 5040 ranks have thousands of shapes. */
static void long_lists_are_cut(void **state)
{
    (void)state;
    const GridLimits l = {.ranks = 5040,
                          .ranks_per_node = 8,
                          .rows = 5040,
                          .layers = 200,
                          .heads = 5040,
                          .feed_forward = 5040,
                          .window_groups = 5040};
    assert_refused(&l, (GridShape){11, 0, 0}, "can be 5040 x 1 x 1, 2520 x 1 x 2, 2520 x 2 x 1");
    const char *message = status_message();
    assert_string_equal(message + strlen(message) - 5, ", ...");
    assert_true(strlen(message) < 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_all_shapes_is_chosen),
        cmocka_unit_test(known_choices),
        cmocka_unit_test(refusals_say_what_is_possible),
        cmocka_unit_test(long_lists_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
