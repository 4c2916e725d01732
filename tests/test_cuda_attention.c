/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of the CUDA device against the plain loops of attention_definition.h: the cases of
 * every device, and drawn ones, in both number types. The seed is printed; PALIMPSEST_TEST_SEED sets it, and
 * PALIMPSEST_TEST_CASES the number of drawn cases.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/tensor/bfloat16.h"
#include "src/tensor/device.h"
#include "tests/attention_cases.h"

/* Relative to the largest numbers of a tensor: in float32 the rounding of long sums; in bfloat16
 * queries with their bias, weights and gradients of logits are rounded to 2^-9 of themselves on
 * their way into a product, and what comes out once more; where o then differs in its last place,
 * dp - delta does by as much, however small it is. */
static const double tolerances[] = {[NUMBER_FLOAT32] = 1e-5, [NUMBER_BFLOAT16] = 0x1p-5};
static NumberType number_type;

static uint64_t seed;
static Device *device;

/* --- a Problem on the device ----------------------------------------------------------------- */

enum { MOST_TENSORS = 2 * MOST_INPUTS + 4 + PAL_MAX_SOURCES };

/* The same call with every tensor on the device. */
typedef struct Twin {
    const Problem *host;
    AttentionQueries queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    Tensor o, lse, dout;
    struct {
        const void *host;
        Tensor device;
    } pairs[MOST_TENSORS]; /* sources may share a tensor */
    int num_pairs;
} Twin;

static Tensor twin_of(Twin *twin, Tensor x, NumberType type)
{
    if (x.data == NULL) return x;
    for (int i = 0; i < twin->num_pairs; i++)
        if (twin->pairs[i].host == x.data) return twin->pairs[i].device;
    assert_true(twin->num_pairs < MOST_TENSORS);
    Tensor y = x;
    y.type = type;
    size_t bytes = (size_t)tensor_count(x) * number_size(type);
    y.data = device->op->allocate(device, bytes > 0 ? bytes : 1);
    assert_non_null(y.data);
    device->op->upload(device, y, tensor_reals(x));
    twin->pairs[twin->num_pairs].host = x.data;
    twin->pairs[twin->num_pairs++].device = y;
    return y;
}

static Twin *twin_create(const Problem *p)
{
    Twin *twin = calloc(1, sizeof *twin);
    assert_non_null(twin);
    twin->host = p;
    twin->queries = p->queries;
    AttentionQueries *q = &twin->queries;
    q->q = twin_of(twin, q->q, number_type);
    q->dq = twin_of(twin, q->dq, number_type);
    q->content_bias = twin_of(twin, q->content_bias, NUMBER_FLOAT32);
    q->dcontent_bias = twin_of(twin, q->dcontent_bias, NUMBER_FLOAT32);
    for (int n = 0; n < p->c->num_sources; n++) {
        AttentionSource *s = &twin->sources[n];
        *s = p->sources[n];
        Tensor *typed[] = {&s->k, &s->v, &s->r, &s->dk, &s->dv};
        Tensor *float32[] = {&s->position_bias, &s->dr, &s->dposition_bias};
        for (int i = 0; i < 5; i++) *typed[i] = twin_of(twin, *typed[i], number_type);
        for (int i = 0; i < 3; i++) *float32[i] = twin_of(twin, *float32[i], NUMBER_FLOAT32);
    }
    twin->o = twin_of(twin, p->o, number_type);
    twin->lse = twin_of(twin, p->lse, NUMBER_FLOAT32);
    twin->dout = twin_of(twin, p->dout, number_type);
    return twin;
}

static void twin_destroy(Twin *twin)
{
    for (int i = 0; i < twin->num_pairs; i++)
        device->op->release(device, twin->pairs[i].device.data);
    free(twin);
}

/* What the device has in place of a tensor of the Problem, to be freed. */
static Real *numbers_of(const Twin *twin, Tensor of_host)
{
    Real *numbers = malloc((size_t)tensor_count(of_host) * sizeof *numbers + 1);
    assert_non_null(numbers);
    for (int i = 0; i < twin->num_pairs; i++)
        if (twin->pairs[i].host == of_host.data) {
            device->op->download(device, numbers, twin->pairs[i].device);
            return numbers;
        }
    fail_msg("the tensor has no twin");
    return NULL;
}

static void forward(const Twin *twin)
{
    device->op->attention_forward(device, twin->o, twin->lse, &twin->queries, twin->sources,
                                  twin->host->c->num_sources);
}

static void backward(Twin *twin, double begin_with)
{
    for (int n = 0; n < twin->host->num_inputs; n++)
        device->op->fill(device, twin_of(twin, *twin->host->gradients[n], number_type), begin_with);
    device->op->attention_backward(device, &twin->queries, twin->sources,
                                   twin->host->c->num_sources, twin->o, twin->lse, twin->dout);
}

/* --- comparing ------------------------------------------------------------------------------- */

static void assert_numbers(const AttentionCase *c, const char *what, int number, const Real *found,
                           int64_t count, const double *expected, double offset)
{
    double largest = 1, tolerance = tolerances[number_type];
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - offset - expected[i]) <= tolerance * largest))
            fail_msg("seed %llu, %s, %s %d: element %lld is %.9g, expected %.9g",
                     (unsigned long long)seed, c->name, what, number, (long long)i,
                     (double)found[i] - offset, expected[i]);
}

static void assert_tensor(const Twin *twin, const char *what, int number, Tensor of_host,
                          const double *expected, double offset)
{
    Real *found = numbers_of(twin, of_host);
    assert_numbers(twin->host->c, what, number, found, tensor_count(of_host), expected, offset);
    free(found);
}

static void check_usage(const Twin *twin, const Expected *x)
{
    const AttentionCase *c = twin->host->c;
    for (int n = 0; n < c->num_sources; n++) {
        int64_t count = c->rows * twin->sources[n].k.dims[1];
        Tensor usage = tensor_2d(device->op->allocate(device, (size_t)(count + 1) * sizeof(Real)),
                                 c->rows, twin->sources[n].k.dims[1]);
        Real *found = malloc((size_t)(count + 1) * sizeof *found);
        device->op->attention_usage(device, usage, &twin->queries, &twin->sources[n], twin->lse);
        device->op->download(device, found, usage);
        assert_numbers(c, "usage of source", n, found, count, x->usage[n], 0);
        free(found);
        device->op->release(device, tensor_reals(usage));
    }
}

/* So that the definition begins with the numbers that the device gets. */
static void round_numbers(Tensor x)
{
    if (number_type != NUMBER_BFLOAT16 || x.data == NULL) return;
    Real *numbers = tensor_reals(x);
    for (int64_t i = 0; i < tensor_count(x); i++)
        numbers[i] = float_of_bfloat16(bfloat16_of((float)numbers[i]));
}

static Problem *problem_of_type(const AttentionCase *c)
{
    Problem *p = problem_create(c);
    p->type = number_type;
    round_numbers(p->queries.q);
    round_numbers(p->dout);
    for (int n = 0; n < c->num_sources; n++) {
        round_numbers(p->sources[n].k);
        round_numbers(p->sources[n].v);
        round_numbers(p->sources[n].r);
    }
    return p;
}

static void check_case(const AttentionCase *c, int first_head)
{
    Problem *p = problem_of_type(c);
    p->queries.first_head = first_head;
    Expected *x = expected_create(p);
    Twin *twin = twin_create(p);
    assert_int_equal(
        device->op->reserve_attention(device, &twin->queries, twin->sources, c->num_sources),
        PAL_OK);
    forward(twin);
    assert_tensor(twin, "o", 0, p->o, x->o, 0);
    assert_tensor(twin, "lse", 0, p->lse, x->lse, 0);
    check_usage(twin, x);
    backward(twin, 1); /* it adds */
    for (int n = 0; n < p->num_inputs; n++)
        assert_tensor(twin, "gradient", n, *p->gradients[n], x->gradients[n], 1);
    twin_destroy(twin);
    expected_destroy(x);
    problem_destroy(p);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void the_cases_of_every_device_agree_with_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_CASES; i++) check_case(&cases[i], 0);
}

/* Number `number` of a list, drawn for (case, purpose). */
static int drawn(int number, int purpose, const int *list, int count)
{
    double x = random_uniform(random_stream(seed, "tests/cuda_attention"),
                              (uint64_t)(1000 * number + purpose));
    return list[(int)(x * count)];
}

#define DRAWN(purpose, ...)                              \
    drawn(number, (purpose), (const int[]){__VA_ARGS__}, \
          (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* Any of 0 ... most. */
static int up_to(int number, int purpose, int most)
{
    double x = random_uniform(random_stream(seed, "tests/cuda_attention"),
                              (uint64_t)(1000 * number + purpose));
    return (int)(x * (most + 1));
}

static AttentionCase drawn_case(int number, char name[static 96])
{
    AttentionCase c = {.name = name,
                       .rows = DRAWN(1, 1, 2, 3),
                       .heads = DRAWN(2, 1, 2, 3),
                       .head_size = DRAWN(3, 1, 2, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128),
                       .length = DRAWN(4, 1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 129),
                       .content_bias = DRAWN(5, 0, 1, 1),
                       .dropout = DRAWN(6, 0, 1) * 0.2,
                       .num_sources = DRAWN(7, 1, 2, 3)};
    c.first_query = DRAWN(8, 0, 0, 1) * up_to(number, 9, c.length);
    for (int row = 0; row < c.rows; row++)
        c.counted[row] = DRAWN(10 + row, 0, 1) ? c.length : up_to(number, 20 + row, c.length);
    for (int n = 0; n < c.num_sources; n++) {
        SourceCase *s = &c.sources[n];
        int at = 100 * (n + 1);
        s->causal = n == c.num_sources - 1 && DRAWN(at, 0, 1, 1);
        s->slots = s->causal ? c.length : DRAWN(at + 1, 0, 1, 2, 31, 32, 33, 64, 65, 127, 129);
        s->positions = DRAWN(at + 2, 0, 1, 1, 1);
        s->stride = s->causal ? 1 : DRAWN(at + 3, 1, 1, 2, 3, 4);
        s->shares_dr_with = -1;
        for (int row = 0; row < c.rows; row++)
            s->valid[row] = up_to(number, at + 10 + row, s->slots);
        if (DRAWN(at + 4, 0, 1)) s->valid[0] = -1;
    }
    snprintf(name, 96, "drawn case %d: rows %d heads %d x %d length %d sources %d", number, c.rows,
             c.heads, c.head_size, c.length, c.num_sources);
    return c;
}

static void drawn_cases_agree_with_the_definition(void **state)
{
    (void)state;
    const char *wanted = getenv("PALIMPSEST_TEST_CASES");
    /* Emulated tensor cores are slow. */
    int count = wanted != NULL ? atoi(wanted) : number_type == NUMBER_BFLOAT16 ? 6 : 12;
    for (int number = 0; number < count; number++) {
        char name[96];
        int of_type = number + 100 * (int)number_type;
        AttentionCase c = drawn_case(of_type, name);
        check_case(&c, up_to(of_type, 30, 3));
    }
}

static void the_same_call_gives_the_same_bits(void **state)
{
    (void)state;
    for (int i = 2; i < 6; i++) {
        Problem *p = problem_of_type(&cases[i]);
        Twin *twins[2] = {twin_create(p), twin_create(p)};
        for (int run = 0; run < 2; run++) {
            forward(twins[run]);
            backward(twins[run], 0);
        }
        for (int n = -1; n < p->num_inputs; n++) {
            Tensor x = n < 0 ? p->o : *p->gradients[n];
            Real *first = numbers_of(twins[0], x), *second = numbers_of(twins[1], x);
            assert_memory_equal(first, second, (size_t)tensor_count(x) * sizeof(Real));
            free(first);
            free(second);
        }
        twin_destroy(twins[0]);
        twin_destroy(twins[1]);
        problem_destroy(p);
    }
}

static void gradients_that_are_not_wanted_are_left_out(void **state)
{
    (void)state;
    const AttentionCase *c = &cases[3];
    Problem *p = problem_of_type(c);
    Expected *x = expected_create(p);
    Twin *twin = twin_create(p);
    forward(twin);

    /* Only dv of the second source. */
    AttentionSource sources[PAL_MAX_SOURCES];
    memcpy(sources, twin->sources, sizeof sources);
    AttentionQueries queries = twin->queries;
    queries.dq = queries.dcontent_bias = tensor_none;
    for (int n = 0; n < c->num_sources; n++) {
        sources[n].dk = sources[n].dr = sources[n].dposition_bias = tensor_none;
        if (n != 1) sources[n].dv = tensor_none;
    }
    device->op->fill(device, sources[1].dv, 0);
    device->op->attention_backward(device, &queries, sources, c->num_sources, twin->o, twin->lse,
                                   twin->dout);
    assert_tensor(twin, "dv of source", 1, p->sources[1].dv,
                  expected_gradient(p, x, tensor_reals(p->sources[1].v)), 0);
    twin_destroy(twin);
    expected_destroy(x);
    problem_destroy(p);
}

/* Products of the visible pairs, 2 m n k each, as the CPU device counts them. */
static void visible_operations_are_counted(void **state)
{
    (void)state;
    const AttentionCase *c = &cases[2];
    PhaseTimes times = {0};
    Problem *p = problem_of_type(c);
    Twin *twin = twin_create(p);
    device->times = &times;
    double pairs = 70 * 37 + 70 * 5 + 2 * (70 * 71 / 2.0), product = 2 * pairs * 5 * c->heads;
    forward(twin);
    assert_true(times.operations[times.current] == 3 * product);
    backward(twin, 0);
    assert_true(times.operations[times.current] == 9 * product);
    device->times = NULL;
    twin_destroy(twin);
    problem_destroy(p);
}

static void more_than_the_kernels_have_is_refused(void **state)
{
    (void)state;
    AttentionQueries queries = {.q = tensor_3d((Real[]){0}, 1, 1, 258), .heads = 2};
    assert_int_equal(device->op->reserve_attention(device, &queries, NULL, 0), PAL_ERROR_CONFIG);
    assert_non_null(strstr(status_message(), "heads of up to 128 channels, here they have 129"));
    queries.q = tensor_3d((Real[]){0}, 65536, 1, 64);
    assert_int_equal(device->op->reserve_attention(device, &queries, NULL, 0), PAL_ERROR_CONFIG);
    assert_non_null(strstr(status_message(), "up to 65535 rows at a time, here a micro-batch has"));
}

static int in_bfloat16(void **state)
{
    (void)state;
    number_type = NUMBER_BFLOAT16;
    return 0;
}

int main(void)
{
    const char *given = getenv("PALIMPSEST_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("PALIMPSEST_TEST_SEED=%llu\n", (unsigned long long)seed);
    if (device_create_cuda(&device, 0) != PAL_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cases_of_every_device_agree_with_the_definition),
        cmocka_unit_test(drawn_cases_agree_with_the_definition),
        cmocka_unit_test(the_same_call_gives_the_same_bits),
        cmocka_unit_test(gradients_that_are_not_wanted_are_left_out),
        cmocka_unit_test(visible_operations_are_counted),
        cmocka_unit_test(more_than_the_kernels_have_is_refused),
    };
    int failed = cmocka_run_group_tests_name("float32", tests, NULL, NULL);
    failed += cmocka_run_group_tests_name("bfloat16", tests, in_bfloat16, NULL);
    device_destroy(&device);
    return failed;
}
