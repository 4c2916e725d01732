/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of the CPU device against the definition in attention_types.h, written down below as
 * plain loops in double precision (which are themselves checked by finite differences).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/tensor/device.h"

/* Sums of up to a few thousand products of numbers of size 1 that are rounded to `Real`: errors of
 * some 10 roundings relative to the size of the largest numbers of a tensor. The smallest
 * differences that a wrong index makes are above 1e-2. */
#ifdef PAL_DOUBLE
static const double tolerance = 2e-13;
#else
static const double tolerance = 2e-5;
#endif

enum { MOST_ROWS = 4 };

/* --- a case, its tensors and the expected results -------------------------------------------- */

typedef struct SourceCase {
    int slots, valid[MOST_ROWS]; /* valid < 0: no counts given */
    bool causal, positions;
    int stride, shares_dr_with; /* the source before it whose dr it shares, or -1 */
} SourceCase;

typedef struct Case {
    const char *name;
    int rows, heads, head_size, length, first_query, counted[MOST_ROWS];
    bool content_bias;
    double dropout;
    int num_sources;
    SourceCase sources[PAL_MAX_SOURCES];
} Case;

typedef struct Problem {
    const Case *c;
    AttentionQueries queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    Tensor o, lse, dout;
    Tensor *inputs[16];    /* what gradients are checked of */
    Tensor *gradients[16]; /* of inputs */
    int num_inputs;
} Problem;

static Tensor random_tensor(uint64_t seed, int64_t a, int64_t b, int64_t c)
{
    int64_t count = a * b * c;
    Real *data = malloc((size_t)(count + 1) * sizeof(Real));
    RandomStream stream = random_stream(seed, "test/attention");
    for (int64_t i = 0; i < count; i++) data[i] = (Real)random_normal(stream, (uint64_t)i);
    return tensor_3d(data, a, b, c);
}

static Tensor zeros_like(Tensor x)
{
    x.data = calloc((size_t)tensor_count(x) + 1, sizeof(Real));
    return x;
}

static void add_input(Problem *p, Tensor *input, Tensor *gradient)
{
    *gradient = zeros_like(*input);
    p->inputs[p->num_inputs] = input;
    p->gradients[p->num_inputs++] = gradient;
}

static void make_source(Problem *p, int number)
{
    const Case *c = p->c;
    const SourceCase *from = &c->sources[number];
    AttentionSource *to = &p->sources[number];
    int64_t width = (int64_t)c->heads * c->head_size;
    uint64_t seed = 10 * (uint64_t)number;
    *to = (AttentionSource){.row_stride = from->stride, .causal = from->causal};
    if (from->valid[0] >= 0) to->valid = from->valid;
    to->k = random_tensor(seed + 10, c->rows, from->slots, width);
    to->v = random_tensor(seed + 11, c->rows, from->slots, width);
    add_input(p, &to->k, &to->dk);
    add_input(p, &to->v, &to->dv);
    if (!from->positions) return;

    int64_t most_distant = (int64_t)from->stride * (from->slots - 1);
    to->row_offset = from->causal ? 0 : most_distant + 2;
    int64_t table_rows = to->row_offset + c->length + 3;
    if (from->shares_dr_with >= 0) {
        const AttentionSource *other = &p->sources[from->shares_dr_with];
        to->r = other->r;
        to->dr = other->dr;
        to->position_bias = other->position_bias;
        to->dposition_bias = other->dposition_bias;
        return;
    }
    to->r = random_tensor(seed + 12, table_rows, width, 1);
    to->r = tensor_2d(to->r.data, table_rows, width);
    add_input(p, &to->r, &to->dr);
    to->position_bias = random_tensor(seed + 13, c->heads, c->head_size, 1);
    add_input(p, &to->position_bias, &to->dposition_bias);
}

static Problem *problem_create(const Case *c)
{
    Problem *p = calloc(1, sizeof *p);
    p->c = c;
    int64_t width = (int64_t)c->heads * c->head_size;
    p->queries = (AttentionQueries){.heads = c->heads,
                                    .scale = 1 / sqrt(c->head_size + 1.0),
                                    .first_query = c->first_query,
                                    .counted = c->counted,
                                    .dropout_rate = c->dropout,
                                    .dropout_stream = random_stream(7, "dropout"),
                                    .first_row = 5};
    p->queries.q = random_tensor(1, c->rows, c->length, width);
    add_input(p, &p->queries.q, &p->queries.dq);
    if (c->content_bias) {
        p->queries.content_bias = random_tensor(2, c->heads, c->head_size, 1);
        add_input(p, &p->queries.content_bias, &p->queries.dcontent_bias);
    }
    for (int i = 0; i < c->num_sources; i++) make_source(p, i);
    p->o = random_tensor(3, c->rows, c->length, width); /* must be overwritten */
    p->lse = random_tensor(4, c->rows, c->heads, c->length);
    p->dout = random_tensor(5, c->rows, c->length, width);
    return p;
}

static void problem_destroy(Problem *p)
{
    for (int i = 0; i < p->num_inputs; i++) {
        free(p->inputs[i]->data);
        free(p->gradients[i]->data);
    }
    free(p->o.data);
    free(p->lse.data);
    free(p->dout.data);
    free(p);
}

/* --- the definition --------------------------------------------------------------------------- */

typedef struct Expected {
    double *o, *lse, *gradients[16];
    double *usage[PAL_MAX_SOURCES];
} Expected;

static bool takes_part(const Case *c, int b, int i)
{
    return i >= c->first_query && i < c->counted[b];
}

static bool visible(const AttentionSource *s, int b, int i, int64_t j)
{
    int64_t slots = s->k.dims[1];
    if (s->valid != NULL && j < slots - s->valid[b]) return false;
    return !(s->causal && j > i);
}

static int64_t table_row(const AttentionSource *s, int i, int64_t j)
{
    return s->row_offset + i - (int64_t)s->row_stride * j;
}

static double bias_at(Tensor bias, int64_t at) { return bias.data == NULL ? 0 : bias.data[at]; }

static double logit(const Problem *p, int b, int h, int i, const AttentionSource *s, int64_t j)
{
    int64_t size = p->c->head_size, width = p->queries.q.dims[2], sum_at = h * size;
    const Real *q = p->queries.q.data + ((int64_t)b * p->c->length + i) * width + sum_at;
    const Real *k = s->k.data + (b * s->k.dims[1] + j) * width + sum_at;
    double sum = 0;
    for (int64_t e = 0; e < size; e++)
        sum += (q[e] + bias_at(p->queries.content_bias, sum_at + e)) * (double)k[e];
    if (s->r.data != NULL)
        for (int64_t e = 0; e < size; e++)
            sum += (q[e] + bias_at(s->position_bias, sum_at + e)) *
                   (double)s->r.data[table_row(s, i, j) * width + sum_at + e];
    return sum * p->queries.scale;
}

static double dropout_factor(const Problem *p, int b, int h, int i, int64_t slot, int64_t all_slots)
{
    const AttentionQueries *q = &p->queries;
    if (q->dropout_rate == 0) return 1;
    RandomStream stream = random_substream(q->dropout_stream, (uint64_t)(q->first_row + b), 0);
    int64_t element = ((int64_t)h * p->c->length + i) * ((all_slots + 3) / 4 * 4) + slot;
    uint32_t words[4];
    random_words(stream, (uint64_t)element / 4, words);
    return words[element % 4] * 0x1p-32 >= q->dropout_rate ? 1 / (1 - q->dropout_rate) : 0;
}

static double *doubles(Tensor x) { return calloc((size_t)tensor_count(x) + 1, sizeof(double)); }

static double *gradient_of(const Problem *p, const Expected *x, const Real *data)
{
    for (int n = 0; n < p->num_inputs; n++)
        if (p->inputs[n]->data == data) return x->gradients[n];
    return NULL;
}

/* One query: its weights, what they give, and its part of all gradients. */
static void expect_query(const Problem *p, Expected *x, int b, int h, int i)
{
    const Case *c = p->c;
    int64_t size = c->head_size, width = c->heads * size, head = h * size, all = 0;
    for (int n = 0; n < c->num_sources; n++) all += c->sources[n].slots;
    int64_t query = ((int64_t)b * c->length + i) * width + head;
    double *weight = calloc((size_t)all + 1, sizeof(double)), sum = 0, delta = 0;

    int64_t slot = 0;
    for (int n = 0; n < c->num_sources; n++)
        for (int64_t j = 0; j < c->sources[n].slots; j++, slot++)
            if (visible(&p->sources[n], b, i, j))
                sum += weight[slot] = exp(logit(p, b, h, i, &p->sources[n], j));
    if (sum > 0) x->lse[((int64_t)b * c->heads + h) * c->length + i] = log(sum);

    slot = 0;
    for (int n = 0; n < c->num_sources; n++) {
        const AttentionSource *s = &p->sources[n];
        for (int64_t j = 0; j < c->sources[n].slots; j++, slot++) {
            if (sum > 0) weight[slot] /= sum;
            double kept = weight[slot] * dropout_factor(p, b, h, i, slot, all);
            int64_t key = (b * s->v.dims[1] + j) * width + head;
            for (int64_t e = 0; e < size; e++) {
                x->o[query + e] += kept * s->v.data[key + e];
                delta += kept * s->v.data[key + e] * p->dout.data[query + e];
            }
            x->usage[n][b * s->k.dims[1] + j] +=
                weight[slot] / c->heads / (c->counted[b] - c->first_query);
        }
    }

    slot = 0;
    for (int n = 0; n < c->num_sources; n++) {
        const AttentionSource *s = &p->sources[n];
        double *dq = gradient_of(p, x, p->queries.q.data), *dk = gradient_of(p, x, s->k.data);
        double *dv = gradient_of(p, x, s->v.data), *dr = gradient_of(p, x, s->r.data);
        double *du = gradient_of(p, x, p->queries.content_bias.data);
        double *dw = gradient_of(p, x, s->position_bias.data);
        for (int64_t j = 0; j < c->sources[n].slots; j++, slot++) {
            if (weight[slot] == 0) continue;
            double keep = dropout_factor(p, b, h, i, slot, all), dp = 0;
            int64_t key = (b * s->v.dims[1] + j) * width + head;
            int64_t position = table_row(s, i, j) * width + head;
            for (int64_t e = 0; e < size; e++) {
                dp += keep * p->dout.data[query + e] * (double)s->v.data[key + e];
                dv[key + e] += weight[slot] * keep * p->dout.data[query + e];
            }
            double ds = weight[slot] * (dp - delta) * p->queries.scale;
            for (int64_t e = 0; e < size; e++) {
                double q = p->queries.q.data[query + e];
                dq[query + e] += ds * s->k.data[key + e];
                dk[key + e] += ds * (q + bias_at(p->queries.content_bias, head + e));
                if (du != NULL && c->content_bias) du[head + e] += ds * s->k.data[key + e];
                if (s->r.data == NULL) continue;
                dq[query + e] += ds * s->r.data[position + e];
                dw[head + e] += ds * s->r.data[position + e];
                dr[position + e] += ds * (q + bias_at(s->position_bias, head + e));
            }
        }
    }
    free(weight);
}

static Expected *expected_create(const Problem *p)
{
    Expected *x = calloc(1, sizeof *x);
    x->o = doubles(p->o);
    x->lse = doubles(p->lse);
    for (int n = 0; n < p->num_inputs; n++) x->gradients[n] = doubles(*p->inputs[n]);
    for (int n = 0; n < p->c->num_sources; n++) x->usage[n] = doubles(p->sources[n].k);
    for (int b = 0; b < p->c->rows; b++)
        for (int h = 0; h < p->c->heads; h++)
            for (int i = 0; i < p->c->length; i++)
                if (takes_part(p->c, b, i)) expect_query(p, x, b, h, i);
    return x;
}

static void expected_destroy(Expected *x)
{
    for (int n = 0; n < 16; n++) free(x->gradients[n]);
    for (int n = 0; n < PAL_MAX_SOURCES; n++) free(x->usage[n]);
    free(x->o);
    free(x->lse);
    free(x);
}

/* --- comparing ------------------------------------------------------------------------------- */

static void assert_near(const Case *c, const char *what, int number, Tensor found,
                        const double *expected, double offset)
{
    int64_t count = tensor_count(found);
    double largest = 1;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(found.data[i] - offset - expected[i]) <= tolerance * largest))
            fail_msg("%s, %s %d: element %lld is %.9g, expected %.9g", c->name, what, number,
                     (long long)i, (double)found.data[i] - offset, expected[i]);
}

static void check_usage(Device *device, const Problem *p, const Expected *x)
{
    for (int n = 0; n < p->c->num_sources; n++) {
        Tensor usage = tensor_2d(NULL, p->c->rows, p->sources[n].k.dims[1]);
        usage.data = malloc((size_t)(tensor_count(usage) + 1) * sizeof(Real));
        device->op->attention_usage(device, usage, &p->queries, &p->sources[n], p->lse);
        assert_near(p->c, "usage of source", n, usage, x->usage[n], 0);
        free(usage.data);
    }
}

static void run_backward(Device *device, const Problem *p, Real begin_with)
{
    for (int n = 0; n < p->num_inputs; n++)
        for (int64_t i = 0; i < tensor_count(*p->gradients[n]); i++)
            p->gradients[n]->data[i] = begin_with;
    device->op->attention_backward(device, &p->queries, p->sources, p->c->num_sources, p->o, p->lse,
                                   p->dout);
}

static void check_case(const Case *c, int threads)
{
    Device *device = NULL;
    assert_int_equal(device_create_cpu(&device, threads), PAL_OK);
    Problem *p = problem_create(c);
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

/* clang-format off */
#define WINDOW(length) {length, {-1}, true, true, 1, -1}

static const Case cases[] = {
    {"plain window", 2, 2, 32, 96, 0, {96, 96}, true, 0, 1, {WINDOW(96)}},
    {"one number per head", 1, 3, 1, 7, 0, {7}, true, 0, 1, {WINDOW(7)}},
    {"odd head, ragged tiles", 2, 3, 5, 70, 0, {70, 70}, true, 0, 2,
     {{37, {37, 5}, false, true, 1, -1}, WINDOW(70)}},
    {"three sources", 3, 2, 24, 65, 0, {65, 40, 0}, true, 0, 3,
     {{19, {0, 7, 19}, false, true, 1, -1}, {66, {3, 66, 0}, false, true, 1, -1}, WINDOW(65)}},
    {"shared positions", 2, 2, 16, 33, 0, {33, 30}, true, 0, 2,
     {{50, {50, 20}, false, true, 1, -1}, {33, {-1}, true, true, 1, 0}}},
    {"temporal", 2, 2, 8, 71, 0, {71, 50}, true, 0, 3,
     {{29, {29, 11}, false, true, 3, -1}, {40, {40, 33}, false, true, 1, 0},
      {71, {-1}, true, true, 1, 0}}},
    {"stride beyond the block", 1, 1, 4, 90, 3, {90}, false, 0, 1,
     {{5, {-1}, false, true, 70, -1}}},
    {"no slots in the first source", 2, 1, 12, 20, 0, {20, 20}, true, 0, 2,
     {{0, {0, 0}, false, true, 1, -1}, WINDOW(20)}},
    {"nothing to see", 2, 2, 6, 10, 0, {10, 10}, true, 0, 1,
     {{9, {0, 4}, false, true, 1, -1}}},
    {"content only, first query", 2, 2, 10, 130, 65, {130, 100}, false, 0, 1,
     {{45, {45, 12}, false, false, 1, -1}}},
    {"first query inside a window", 1, 2, 8, 40, 9, {33}, true, 0, 1, {WINDOW(40)}},
    {"several tiles of keys", 1, 2, 8, 150, 0, {150}, true, 0, 2,
     {{700, {650}, false, true, 1, -1}, WINDOW(150)}},
    {"window with hidden slots", 2, 1, 8, 300, 0, {300, 290}, true, 0, 1,
     {{300, {280, 17}, true, true, 1, -1}}},
    {"long window", 1, 1, 16, 600, 0, {600}, true, 0, 1, {WINDOW(600)}},
    {"wide head", 1, 2, 128, 40, 0, {40}, true, 0, 2,
     {{30, {25}, false, true, 1, -1}, WINDOW(40)}},
    {"dropout", 2, 3, 12, 45, 0, {45, 31}, true, 0.3, 3,
     {{13, {13, 2}, false, true, 1, -1}, {22, {22, 9}, false, true, 1, -1}, WINDOW(45)}},
};
/* clang-format on */

enum { NUM_CASES = sizeof cases / sizeof *cases };

static void one_thread_agrees_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++) check_case(&cases[i], 1);
}

/* Three threads cut rows and heads in the middle. */
static void threads_agree_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++)
        for (int threads = 2; threads <= 7; threads += threads == 3 ? 4 : 1)
            check_case(&cases[i], threads);
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
        assert_memory_equal(first->o.data, second->o.data,
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
    const Case *c = &cases[3];
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
    assert_near(c, "dv of source", 1, p->sources[1].dv, gradient_of(p, x, p->sources[1].v.data), 0);
    expected_destroy(x);
    problem_destroy(p);
    device_destroy(&device);
}

/* Products of the visible pairs, 2 m n k each. */
static void visible_operations_are_counted(void **state)
{
    (void)state;
    const Case *c = &cases[2];
    Device *device = NULL;
    PhaseTimes times = {0};
    assert_int_equal(device_create_cpu(&device, 2), PAL_OK);
    device->times = &times;
    Problem *p = problem_create(c);

    double pairs = 70 * 37 + 70 * 5 + 2 * (70 * 71 / 2), product = 2 * pairs * 5 * c->heads;
    device->op->attention_forward(device, p->o, p->lse, &p->queries, p->sources, c->num_sources);
    assert_true(times.operations[times.current] == 3 * product);
    run_backward(device, p, 0);
    assert_true(times.operations[times.current] == 9 * product);
    problem_destroy(p);
    device_destroy(&device);
}

/* --- the loops above against finite differences ----------------------------------------------- */

static double weighted_output(const Problem *p)
{
    Expected *x = expected_create(p);
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(p->o); i++) sum += x->o[i] * p->dout.data[i];
    expected_destroy(x);
    return sum;
}

/* Central differences, with inputs in `Real`: the step is what the rounded inputs differ by. The
 * error of second order is (1e-2)^2 times third derivatives of size 1. */
static void the_definition_agrees_with_finite_differences(void **state)
{
    (void)state;
    /* clang-format off */
    static const Case small = {"small", 2, 2, 3, 6, 1, {6, 5}, true, 0.25, 2,
                               {{4, {4, 2}, false, true, 2, -1}, WINDOW(6)}};
    /* clang-format on */
    Problem *p = problem_create(&small);
    Expected *x = expected_create(p);
    for (int n = 0; n < p->num_inputs; n++)
        for (int64_t i = 0; i < tensor_count(*p->inputs[n]); i++) {
            Real *at = &p->inputs[n]->data[i], kept = *at;
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
        cmocka_unit_test(the_same_call_gives_the_same_bits),
        cmocka_unit_test(gradients_that_are_not_wanted_are_left_out),
        cmocka_unit_test(visible_operations_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
