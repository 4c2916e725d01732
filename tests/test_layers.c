/* SPDX-License-Identifier: Apache-2.0
 *
 * The layers by themselves, in double precision: gradients of their inputs against differences, and
 * for what is linear the identity of an operation and its adjoint, <A x, y> = <x, A' y>.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/checked.h"
#include "src/layers/dropout.h"
#include "src/layers/embedding.h"
#include "src/layers/linear.h"
#include "tests/model_fixture.h"

_Static_assert(sizeof(Real) == sizeof(double), "differences need the double-precision build");

/* A difference over 2e-6 of a sum of some 100 products of a size of 1: 1e-14 / 1e-6. */
static const double difference_tolerance = 1e-7;
/* Sums of up to a few thousand products of a size of 1. */
static const double adjoint_tolerance = 1e-11;

static Tensor numbers(int64_t a, int64_t b, int64_t c, const char *name)
{
    Real *data = calloc(checked_size(a * b * c) + 1, sizeof *data);
    assert_non_null(data);
    if (name != NULL) fixture_draw(data, a * b * c, name);
    return tensor_3d(data, a, b, c);
}

static Tensor zeros(Tensor like) { return numbers(like.dims[0], like.dims[1], like.dims[2], NULL); }

static double dot(Tensor x, Tensor y)
{
    double sum = 0.0;
    assert_int_equal(tensor_count(x), tensor_count(y));
    for (int64_t i = 0; i < tensor_count(x); i++) sum += tensor_reals(x)[i] * tensor_reals(y)[i];
    return sum;
}

static void assert_near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance * (1.0 + fabs(expected))))
        fail_msg("%s: found %.12g, expected %.12g", what, found, expected);
}

/* --- gradients of inputs ---------------------------------------------------------------------- */

/* One layer of a model with its input x, output y and the gradient dy of y. */
typedef struct Trial {
    Fixture fixture;
    TestWindow window;
    Tensor x, y, dy, dx;
    AttentionInput input;
} Trial;

static void trial_begin(Trial *t, const Setting *setting)
{
    fixture_create(&t->fixture, setting);
    fixture_run_schedule(&t->fixture, 7);
    fixture_window(&t->fixture, &t->window, 7);
    const ModelOptions *options = &t->fixture.options;
    model_begin_update(&t->fixture.model);
    t->x = numbers(t->window.view.rows, options->window, options->width, "x");
    t->y = zeros(t->x);
    t->dx = zeros(t->x);
    t->dy = numbers(t->window.view.rows, options->window, options->width, "dy");
    MemoryView view = fixture_view(&t->fixture, 1, 0);
    t->input = model_attention_input(&t->fixture.model, 0, 1, view);
    t->input.source[SOURCE_WINDOW] = t->x;
}

static void trial_end(Trial *t)
{
    free(tensor_reals(t->x)), free(tensor_reals(t->y)), free(tensor_reals(t->dy)),
        free(tensor_reals(t->dx));
    fixture_destroy(&t->fixture);
}

static TransformerLayer *trial_layer(Trial *t) { return &t->fixture.model.flights[0].layers[1]; }

/* Along a few random directions of x, what `loss` gives and what dx says. */
static void check_input(Trial *t, double (*loss)(void *), Tensor x, Tensor dx, const char *what)
{
    static const char *const names[] = {"one", "two", "three", "four"};
    Tensor direction = zeros(x);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fixture_draw(tensor_reals(direction), tensor_count(x), names[i]);
        double expected =
            central_difference(loss, t, tensor_reals(x), tensor_reals(direction), tensor_count(x));
        assert_near(dot(dx, direction), expected, difference_tolerance, what);
    }
    free(tensor_reals(direction));
}

static double norm_loss(void *context)
{
    Trial *t = context;
    layer_norm_forward(t->fixture.device, &trial_layer(t)->attention_norm, t->y, t->x);
    return dot(t->y, t->dy);
}

static double feed_forward_loss(void *context)
{
    Trial *t = context;
    feed_forward_forward(t->fixture.device, &trial_layer(t)->feed_forward, t->y, t->x,
                         &t->window.view, true);
    return dot(t->y, t->dy);
}

static double attention_loss(void *context)
{
    Trial *t = context;
    attention_forward(t->fixture.device, &trial_layer(t)->attention, t->y, &t->input,
                      &t->window.view, true);
    return dot(t->y, t->dy);
}

static double output_nats(void *context)
{
    Trial *t = context;
    output_loss(t->fixture.device, &t->fixture.model.output, fixture_tokens_nats(&t->fixture),
                tensor_none, t->x, &t->window.view);
    return fixture_nats(&t->fixture);
}

static const Setting trials[] = {
    {.name = "pre", .model = {.memory = {4, 6}, .compressed_memory = {2, 5}, .dropout = 0.2}},
    {.name = "post",
     .model = {.memory = {8, 2},
               .compressed_memory = {3, 4},
               .activation = ACTIVATION_GELU,
               .positions = POSITIONS_TEMPORAL,
               .attention_dropout = 0.3,
               .tie_embeddings = true,
               .norm = NORM_POST,
               .width = 10,
               .heads = 5},
     .rows = 4},
};
enum { NUM_TRIALS = sizeof trials / sizeof *trials };

static void layer_norm_passes_its_gradient_on(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_TRIALS; i++) {
        Trial t;
        trial_begin(&t, &trials[i]);
        norm_loss(&t);
        layer_norm_backward(t.fixture.device, &trial_layer(&t)->attention_norm, t.dx, t.dy, t.x);
        check_input(&t, norm_loss, t.x, t.dx, "layer norm");
        trial_end(&t);
    }
}

static void feed_forward_passes_its_gradient_on(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_TRIALS; i++) {
        Trial t;
        trial_begin(&t, &trials[i]);
        feed_forward_loss(&t);
        feed_forward_backward(t.fixture.device, &trial_layer(&t)->feed_forward, t.dx,
                              t.fixture.model.work.dhidden, t.dy, t.x, &t.window.view);
        check_input(&t, feed_forward_loss, t.x, t.dx, "feed-forward");
        trial_end(&t);
    }
}

/* Also to the compressed slots, which only compression_loss = task asks for. */
static void attention_passes_its_gradient_on(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_TRIALS; i++) {
        Trial t;
        trial_begin(&t, &trials[i]);
        Tensor compressed = t.input.source[SOURCE_COMPRESSED], dcompressed = zeros(compressed);
        attention_loss(&t);
        attention_backward(t.fixture.device, &trial_layer(&t)->attention,
                           &t.fixture.model.work.attention, t.dx, dcompressed, t.dy, &t.input,
                           &t.window.view);
        check_input(&t, attention_loss, t.x, t.dx, "attention, window");
        check_input(&t, attention_loss, compressed, dcompressed, "attention, compressed");
        free(tensor_reals(dcompressed));
        trial_end(&t);
    }
}

/* All logits at once, then in pieces of 5 rows, as with a large vocabulary. */
static void output_passes_its_gradient_on(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_TRIALS; i++) {
        Trial t;
        trial_begin(&t, &trials[i]);
        double nats = output_nats(&t);
        Tensor dx_whole = zeros(t.x);
        output_loss(t.fixture.device, &t.fixture.model.output, fixture_tokens_nats(&t.fixture),
                    dx_whole, t.x, &t.window.view);
        check_input(&t, output_nats, t.x, dx_whole, "output");

        t.fixture.model.output.clusters[0].piece = 5;
        output_loss(t.fixture.device, &t.fixture.model.output, fixture_tokens_nats(&t.fixture),
                    t.dx, t.x, &t.window.view);
        assert_near(fixture_nats(&t.fixture), nats, adjoint_tolerance, "nats in pieces");
        for (int64_t e = 0; e < tensor_count(t.x); e++)
            assert_near(tensor_reals(t.dx)[e], tensor_reals(dx_whole)[e], adjoint_tolerance,
                        "dx in pieces");
        free(tensor_reals(dx_whole));
        trial_end(&t);
    }
}

/* --- adjoints --------------------------------------------------------------------------------- */

static Device *make_device(void)
{
    Device *device;
    assert_int_equal(device_create_cpu(&device, 2), PAL_OK);
    return device;
}

/* With queries and keys as they are, the output is linear in the values of all sources together. */
static void check_values(Device *device, double dropout)
{
    enum { ROWS = 3, QUERIES = 5, HEADS = 3, WIDTH = 12 };
    static const int64_t slots[] = {4, 7, QUERIES};
    static const int valid[][ROWS] = {{4, 1, 0}, {7, 3, 2}}, counted[ROWS] = {5, 2, 4};
    Tensor o = numbers(ROWS, QUERIES, WIDTH, NULL), y = numbers(ROWS, QUERIES, WIDTH, "y");
    Tensor lse = numbers(ROWS, HEADS, QUERIES, NULL);
    AttentionQueries queries = {.q = numbers(ROWS, QUERIES, WIDTH, "q"),
                                .heads = HEADS,
                                .scale = 0.5,
                                .counted = counted,
                                .dropout_rate = dropout,
                                .dropout_stream = random_stream(1, "values")};
    AttentionSource sources[3];
    for (int s = 0; s < 3; s++) {
        sources[s] = (AttentionSource){.k = numbers(ROWS, slots[s], WIDTH, "k"),
                                       .v = numbers(ROWS, slots[s], WIDTH, "v"),
                                       .valid = s < 2 ? valid[s] : NULL,
                                       .causal = s == 2};
        sources[s].dv = zeros(sources[s].v);
    }
    device->op->attention_forward(device, o, lse, &queries, sources, 3);
    /* The softmax's own part needs o; the values' does not. */
    device->op->attention_backward(device, &queries, sources, 3, o, lse, y);
    double adjoint = 0.0;
    for (int s = 0; s < 3; s++) adjoint += dot(sources[s].v, sources[s].dv);
    assert_near(dot(o, y), adjoint, adjoint_tolerance, "values of attention");

    for (int s = 0; s < 3; s++) free(tensor_reals(sources[s].k)), free(tensor_reals(sources[s].v));
    for (int s = 0; s < 3; s++) free(tensor_reals(sources[s].dv));
    free(tensor_reals(queries.q)), free(tensor_reals(o)), free(tensor_reals(y)),
        free(tensor_reals(lse));
}

static void attention_is_adjoint_in_the_values(void **state)
{
    (void)state;
    Device *device = make_device();
    check_values(device, 0.0);
    check_values(device, 0.4);
    device_destroy(&device);
}

/* conv(x; W) is linear in W, whose adjoint is its gradient, and in x. */
static void conv_is_adjoint(void **state)
{
    (void)state;
    for (int rate = 1; rate <= 4; rate++) {
        Setting setting = {.model = {.window = 12,
                                     .compression_rate = rate,
                                     .memory = {12, 12},
                                     .compressed_memory = {4, 4},
                                     .compression = COMPRESSION_CONV}};
        Fixture fixture;
        fixture_create(&fixture, &setting);
        model_begin_update(&fixture.model);
        const Compressor *compressor = &fixture.model.compressors[0];
        CompressionWorkspace *work = compressor->work;
        Tensor x = numbers(3, 12, 12, "x"), dx = zeros(x);
        fixture_draw(tensor_reals(work->dfresh), tensor_count(work->dfresh), "y");
        compressor->kind->forward(fixture.device, compressor, x);
        compressor->kind->backward(fixture.device, compressor, x);
        double product = dot(work->fresh, work->dfresh);
        assert_near(dot(compressor->conv.value, compressor->conv.gradient), product,
                    adjoint_tolerance, "weights of the convolution");
        linear_backward_input(fixture.device, tensor_reshape_2d(dx, 36 / rate, (int64_t)12 * rate),
                              work->dfresh, compressor->conv);
        assert_near(dot(x, dx), product, adjoint_tolerance, "input of the convolution");
        free(tensor_reals(x)), free(tensor_reals(dx));
        fixture_destroy(&fixture);
    }
}

static void pairs_are_adjoint(void **state)
{
    (void)state;
    Device *device = make_device();
    for (int distance = 0; distance <= 9; distance++) {
        Tensor x = numbers(3, 7, 5, "x"), dx = zeros(x);
        Tensor y = numbers(3, 7, 10, "y"), pairs = zeros(y);
        device->op->pair_with_earlier(device, pairs, x, distance);
        device->op->pair_with_earlier_backward(device, dx, y, distance);
        assert_near(dot(x, dx), dot(pairs, y), adjoint_tolerance, "pair with earlier");
        free(tensor_reals(x)), free(tensor_reals(dx)), free(tensor_reals(y)),
            free(tensor_reals(pairs));
    }
    device_destroy(&device);
}

/* With the dropout that follows it, which is its own adjoint. */
static void embedding_is_adjoint(void **state)
{
    (void)state;
    for (int dropout = 0; dropout < 2; dropout++) {
        Trial t;
        trial_begin(&t, &trials[0]);
        Device *device = t.fixture.device;
        const Window *window = &t.window.view;
        const Embedding *embedding = &t.fixture.model.embedding;
        DropoutPlace place = {.first_row = window->first_row, .channels = t.y.dims[2]};
        double rate = dropout * 0.3;
        embedding_forward(device, embedding, t.y, window);
        dropout_apply(device, t.y, window, DROPOUT_EMBEDDING, 0, place, rate);
        double product = dot(t.y, t.dy);
        dropout_apply(device, t.dy, window, DROPOUT_EMBEDDING, 0, place, rate);
        embedding_backward(device, embedding, t.dy, window);
        const Weight *table = &embedding->clusters[0].table;
        assert_near(dot(table->value, table->gradient), product, adjoint_tolerance, "embedding");
        trial_end(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_passes_its_gradient_on),
        cmocka_unit_test(feed_forward_passes_its_gradient_on),
        cmocka_unit_test(attention_passes_its_gradient_on),
        cmocka_unit_test(output_passes_its_gradient_on),
        cmocka_unit_test(attention_is_adjoint_in_the_values),
        cmocka_unit_test(conv_is_adjoint),
        cmocka_unit_test(pairs_are_adjoint),
        cmocka_unit_test(embedding_is_adjoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
