/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of the CPU device against the plain loops of attention_definition.h (which are
 * themselves checked by finite differences).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/tensor/device.h"
#include "tests/attention_cases.h"

/* Sums of up to a few thousand products of numbers of size 1 that are rounded to `Real`: errors of
 * some 10 roundings relative to the size of the largest numbers of a tensor. The smallest
 * differences that a wrong index makes are above 1e-2. */
#ifdef PAL_DOUBLE
static const double tolerance = 2e-13;
#else
static const double tolerance = 2e-5;
#endif

/* --- comparing ------------------------------------------------------------------------------- */

static void assert_near(const AttentionCase *c, const char *what, int number, Tensor found,
                        const double *expected, double offset)
{
    int64_t count = tensor_count(found);
    double largest = 1;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(tensor_reals(found)[i] - offset - expected[i]) <= tolerance * largest))
            fail_msg("%s, %s %d: element %lld is %.9g, expected %.9g", c->name, what, number,
                     (long long)i, (double)tensor_reals(found)[i] - offset, expected[i]);
}

static void check_usage(Device *device, const Problem *p, const Expected *x)
{
    for (int n = 0; n < p->c->num_sources; n++) {
        Tensor usage = tensor_2d(NULL, p->c->rows, p->sources[n].k.dims[1]);
        usage.data = malloc((size_t)(tensor_count(usage) + 1) * sizeof(Real));
        device->op->attention_usage(device, usage, &p->queries, &p->sources[n], p->lse);
        assert_near(p->c, "usage of source", n, usage, x->usage[n], 0);
        free(tensor_reals(usage));
    }
}

static void run_backward(Device *device, const Problem *p, Real begin_with)
{
    for (int n = 0; n < p->num_inputs; n++)
        for (int64_t i = 0; i < tensor_count(*p->gradients[n]); i++)
            tensor_reals(*p->gradients[n])[i] = begin_with;
    device->op->attention_backward(device, &p->queries, p->sources, p->c->num_sources, p->o, p->lse,
                                   p->dout);
}

static void check_case(const AttentionCase *c, int threads, int first_head)
{
    Device *device = NULL;
    assert_int_equal(device_create_cpu(&device, threads), PAL_OK);
    Problem *p = problem_create(c);
    p->queries.first_head = first_head;
    Expected *x = expected_create(p);

    device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources, c->num_sources);
    assert_near(c, "o", 0, p->o, x->o, 0);
    assert_near(c, "lse", 0, p->lse, x->lse, 0);
    check_usage(device, p, x);
    run_backward(device, p, 1); /* it adds */
    for (int n = 0; n < p->num_inputs; n++)
        assert_near(c, "gradient", n, *p->gradients[n], x->gradients[n], 1);

    expected_destroy(x);
    problem_destroy(p);
    device_destroy(&device);
}

/* --- cases ----------------------------------------------------------------------------------- */

static void one_thread_agrees_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++) check_case(&cases[i], 1, 0);
}

/* Three threads cut rows and heads in the middle. */
static void threads_agree_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++)
        for (int threads = 2; threads <= 7; threads += threads == 3 ? 4 : 1)
            check_case(&cases[i], threads, 0);
}

static void dropout_counts_the_heads_before(void **state)
{
    (void)state;
    const AttentionCase *last = &cases[NUM_CASES - 1];
    assert_true(last->dropout > 0);
    for (int first_head = 1; first_head <= 5; first_head++) check_case(last, 2, first_head);
}

static void the_same_call_gives_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++) {
        Device *device = NULL;
        assert_int_equal(device_create_cpu(&device, 3), PAL_OK);
        Problem *first = problem_create(&cases[i]), *second = problem_create(&cases[i]);
        Problem *both[] = {first, second};
        for (int run = 0; run < 2; run++) {
            Problem *p = both[run];
            device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources,
                                          cases[i].num_sources);
            run_backward(device, p, 0);
        }
        assert_memory_equal(tensor_reals(first->o), tensor_reals(second->o),
                            (size_t)tensor_count(first->o) * sizeof(Real));
        for (int n = 0; n < first->num_inputs; n++)
            assert_memory_equal(first->gradients[n]->data, second->gradients[n]->data,
                                (size_t)tensor_count(*first->gradients[n]) * sizeof(Real));
        problem_destroy(first);
        problem_destroy(second);
        device_destroy(&device);
    }
}

static void gradients_that_are_not_wanted_are_left_out(void **state)
{
    (void)state;
    const AttentionCase *c = &cases[3];
    Device *device = NULL;
    assert_int_equal(device_create_cpu(&device, 2), PAL_OK);
    Problem *p = problem_create(c);
    Expected *x = expected_create(p);
    device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources, c->num_sources);

    /* Only dv of the second source. */
    AttentionQueries queries = p->queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    memcpy(sources, p->sources, sizeof sources);
    queries.dq = queries.dcontent_bias = tensor_none;
    for (int n = 0; n < c->num_sources; n++) {
        sources[n].dk = sources[n].dr = sources[n].dposition_bias = tensor_none;
        if (n != 1) sources[n].dv = tensor_none;
    }
    device->op->attention_backward(device, &queries, sources, c->num_sources, p->o, p->lse,
                                   p->dout);
    assert_near(c, "dv of source", 1, p->sources[1].dv,
                expected_gradient(p, x, tensor_reals(p->sources[1].v)), 0);
    expected_destroy(x);
    problem_destroy(p);
    device_destroy(&device);
}

/* Products of the visible pairs, 2 m n k each. */
static void visible_operations_are_counted(void **state)
{
    (void)state;
    const AttentionCase *c = &cases[2];
    Device *device = NULL;
    PhaseTimes times = {0};
    assert_int_equal(device_create_cpu(&device, 2), PAL_OK);
    device->times = &times;
    Problem *p = problem_create(c);

    double pairs = 70 * 37 + 70 * 5 + 2 * (70 * 71 / 2.0), product = 2 * pairs * 5 * c->heads;
    device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources, c->num_sources);
    assert_true(times.operations[times.current] == 3 * product);
    run_backward(device, p, 0);
    assert_true(times.operations[times.current] == 9 * product);
    problem_destroy(p);
    device_destroy(&device);
}

/* --- heads in slices ------------------------------------------------------------------------- */

/* Slice (..., n) against the columns of whole (..., D) from `column` on. */
static void assert_columns(const AttentionCase *c, const char *what, Tensor slice, Tensor whole,
                           int64_t column)
{
    int64_t n = slice.dims[slice.num_dims - 1], all = whole.dims[whole.num_dims - 1];
    for (int64_t i = 0; i < tensor_count(slice); i++)
        if (tensor_reals(slice)[i] != tensor_reals(whole)[i / n * all + column + i % n])
            fail_msg("%s, %s: element %lld of the heads from %d on is %.9g, with all heads %.9g",
                     c->name, what, (long long)i, (int)(column / c->head_size),
                     (double)tensor_reals(slice)[i],
                     (double)tensor_reals(whole)[i / n * all + column + i % n]);
}

/* The same of whole head rows: a bias (H,E). */
static void assert_rows(const AttentionCase *c, const char *what, Tensor slice, Tensor whole,
                        int64_t first)
{
    if (slice.data == NULL) return;
    Tensor flat = tensor_2d(tensor_reals(slice), 1, tensor_count(slice));
    Tensor flat_whole = tensor_2d(tensor_reals(whole), 1, tensor_count(whole));
    assert_columns(c, what, flat, flat_whole, first * slice.dims[1]);
}

static void run_both(Device *device, const Problem *p)
{
    device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources, p->c->num_sources);
    run_backward(device, p, 0);
}

static void compare_slice(Device *device, const Problem *whole, int first, int heads)
{
    AttentionCase c;
    Problem *p = problem_slice(whole, first, heads, &c);
    int64_t column = (int64_t)first * c.head_size;
    run_both(device, p);
    assert_columns(&c, "o", p->o, whole->o, column);
    assert_columns(&c, "dq", p->queries.dq, whole->queries.dq, column);
    assert_rows(&c, "dcontent_bias", p->queries.dcontent_bias, whole->queries.dcontent_bias, first);
    for (int n = 0; n < c.num_sources; n++) {
        const AttentionSource *s = &p->sources[n], *t = &whole->sources[n];
        assert_columns(&c, "dk", s->dk, t->dk, column);
        assert_columns(&c, "dv", s->dv, t->dv, column);
        if (s->dr.data == NULL) continue;
        assert_columns(&c, "dr", s->dr, t->dr, column);
        assert_rows(&c, "dposition_bias", s->dposition_bias, t->dposition_bias, first);
    }
    problem_destroy(p);
}

/* The ranks of a tensor group have some heads each: with dropout too, what they find is what one
 * rank with all heads finds. On one thread bit by bit, for a head's sums are its own. */
static void heads_in_slices_are_those_of_the_whole(void **state)
{
    (void)state;
    static const double rates[] = {0, 0.3};
    Device *device = NULL;
    assert_int_equal(device_create_cpu(&device, 1), PAL_OK);
    for (int i = 0; i < NUM_CASES; i++)
        for (int r = 0; r < 2; r++) {
            AttentionCase c = cases[i];
            c.dropout = rates[r];
            c.heads = 4;
            Problem *whole = problem_create(&c);
            run_both(device, whole);
            compare_slice(device, whole, 0, 4);
            compare_slice(device, whole, 0, 2);
            compare_slice(device, whole, 2, 2);
            compare_slice(device, whole, 1, 1);
            compare_slice(device, whole, 1, 3);
            problem_destroy(whole);
        }
    device_destroy(&device);
}

/* --- the definition against finite differences ----------------------------------------------- */

static double weighted_output(const Problem *p)
{
    Expected *x = expected_create(p);
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(p->o); i++) sum += x->o[i] * tensor_reals(p->dout)[i];
    expected_destroy(x);
    return sum;
}

/* Central differences, with inputs in `Real`: the step is what the rounded inputs differ by. The
 * error of second order is (1e-2)^2 times third derivatives of size 1. */
static void the_definition_agrees_with_finite_differences(void **state)
{
    (void)state;
    /* clang-format off */
    static const AttentionCase small = {"small", 2, 2, 3, 6, 1, {6, 5}, true, 0.25, 2,
                               {{4, {4, 2}, false, true, 2, -1}, WINDOW(6)}};
    /* clang-format on */
    Problem *p = problem_create(&small);
    Expected *x = expected_create(p);
    for (int n = 0; n < p->num_inputs; n++)
        for (int64_t i = 0; i < tensor_count(*p->inputs[n]); i++) {
            Real *at = &tensor_reals(*p->inputs[n])[i], kept = *at;
            *at = kept + (Real)0.01;
            double above = *at, value_above = weighted_output(p);
            *at = kept - (Real)0.01;
            double below = *at, value_below = weighted_output(p);
            *at = kept;
            double slope = (value_above - value_below) / (above - below);
            assert_true(fabs(slope - x->gradients[n][i]) < 2e-3 * fmax(1, fabs(slope)));
        }
    expected_destroy(x);
    problem_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_definition_agrees_with_finite_differences),
        cmocka_unit_test(one_thread_agrees_with_the_definition),
        cmocka_unit_test(threads_agree_with_the_definition),
        cmocka_unit_test(dropout_counts_the_heads_before),
        cmocka_unit_test(the_same_call_gives_the_same_bits),
        cmocka_unit_test(heads_in_slices_are_those_of_the_whole),
        cmocka_unit_test(gradients_that_are_not_wanted_are_left_out),
        cmocka_unit_test(visible_operations_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
