/* SPDX-License-Identifier: Apache-2.0
 *
 * Adaptive inputs and softmax on 1 to 4 tensor ranks against their definition: plain loops in double
 * precision that write out the probability of every token of the vocabulary. Gradients of every
 * weight and of x are compared with differences of the definition.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mpi/partition.h"
#include "src/base/checked.h"
#include "src/base/random.h"
#include "src/layers/embedding.h"
#include "src/layers/parallel_output.h"
#include "tests/adaptive_definition.h"
#include "tests/all_ranks.h"

enum { ROWS = 3, LENGTH = 5, POSITIONS = ROWS * LENGTH };

/* Sums of some 20 products of numbers of a size of 1, rounded once (float32) or with every factor
 * rounded to 8 bits. */
static const double tolerances[] = {[NUMBER_FLOAT32] = 1e-5, [NUMBER_BFLOAT16] = 5e-2};

/* --- cases ------------------------------------------------------------------------------------- */

typedef struct Shape {
    const char *name;
    int vocabulary, width, divisor, num_cutoffs, cutoffs[PAL_MAX_CUTOFFS];
} Shape;

static const Shape shapes[] = {
    {"three tails", 29, 8, 2, 3, {7, 11, 20}},
    {"tails smaller than the number of ranks", 8, 16, 2, 4, {2, 3, 5, 6}},
    {"one tail of one token, odd widths", 12, 9, 3, 1, {11}},
    {"a head of one token, one width", 17, 6, 1, 2, {1, 9}},
    {"narrowest last", 40, 18, 3, 2, {13, 30}},
};
enum { NUM_SHAPES = sizeof shapes / sizeof *shapes };

typedef enum Targets { ANY, ALL_IN_HEAD, ALL_IN_LAST, NONE_IN_FIRST_TAIL, NUM_TARGETS } Targets;

/* What one comparison runs. */
typedef struct Trial {
    ModelOptions options;
    Placement place;
    NumberType operands;
    Device *device;
    Arena *arena;
    Parameters parameters;
    AdaptiveDefinition definition;
    Embedding embedding;
    OutputLayer output;
    ClusterWork work;
    Tensor nats, dx, x, h, dh; /* as the layers have them; x of operands */
    double x_host[POSITIONS * ADAPTIVE_MOST_WIDTH], dh_host[POSITIONS * ADAPTIVE_MOST_WIDTH];
    int32_t inputs[POSITIONS], targets[POSITIONS];
    Window window;
} Trial;

static const int counted[ROWS] = {LENGTH, 2, 0};

/* --- a trial ----------------------------------------------------------------------------------- */

static bool is_counted(int i) { return i % LENGTH < counted[i / LENGTH]; }

/* The sum of the nats, and of <h, dh>, whose gradient is what embedding_backward adds. */
static double both_losses(const Trial *t)
{
    double loss = 0.0;
    for (int i = 0; i < POSITIONS; i++) {
        double log_p[ADAPTIVE_MOST_TOKENS], h[ADAPTIVE_MOST_WIDTH];
        if (!is_counted(i)) continue;
        adaptive_log_p(&t->definition, t->x_host + (ptrdiff_t)i * t->options.width, log_p);
        adaptive_embed(&t->definition, t->inputs[i], h);
        loss -= log_p[t->targets[i]];
        for (int j = 0; j < t->options.width; j++)
            loss += h[j] * t->dh_host[i * t->options.width + j];
    }
    return loss;
}

static double derivative(Trial *t, double *at)
{
    const double step = 1e-5, kept = *at;
    *at = kept + step;
    double above = both_losses(t);
    *at = kept - step;
    double below = both_losses(t);
    *at = kept;
    return (above - below) / (2 * step);
}

static Placement place_of(const Trial *t)
{
    int parts = grid.world.size, part = grid.world.rank;
    Placement place = placement_whole(&t->options, ROWS);
    place.layers = 0;
    place.tensor_parts = parts;
    place.tensor_part = part;
    place.operands = t->operands;
    for (int i = 0; i < model_clusters(&t->options); i++) {
        Range rows = partition_range(model_cluster(&t->options, i).rows, parts, part);
        place.slices[i] = (TokenSlice){rows.first, rows.count};
    }
    return place;
}

/* Numbers of a size of 1, which float32 holds. */
static void draw(double *numbers, int64_t count, const char *name, double size)
{
    RandomStream stream = random_stream(7, name);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (double)(float)(size * random_normal(stream, (uint64_t)i));
}

static void put(Trial *t, Tensor to, const double *from)
{
    Real numbers[POSITIONS * ADAPTIVE_MOST_WIDTH];
    int64_t count = tensor_count(to);
    assert_true(count <= POSITIONS * ADAPTIVE_MOST_WIDTH);
    for (int64_t i = 0; i < count; i++) numbers[i] = (Real)from[i];
    t->device->op->upload(t->device, to, numbers);
}

/* This rank's slices of the whole weights. */
static void put_weights(Trial *t)
{
    double *whole = t->definition.weights;
    for (int r = 0; r < t->definition.whole.count;
         whole += adaptive_count(&t->definition.whole.table[r]), r++) {
        const Parameter *row = parameters_find(&t->parameters, t->definition.whole.table[r].name);
        int64_t columns = row->num_dims == 2 ? row->dims[1] : 1;
        Real *to = tensor_reals(parameter_view(row, t->parameters.value));
        for (int64_t i = 0; i < row->dims[0] * columns; i++)
            to[i] = (Real)whole[row->first[0] * columns + i];
    }
    parameters_round(&t->parameters, t->device);
}

static void draw_all(Trial *t)
{
    double *at = t->definition.weights;
    for (int i = 0; i < t->definition.whole.count; i++) {
        const Parameter *row = &t->definition.whole.table[i];
        draw(at, adaptive_count(row), row->name, row->num_dims == 2 ? 0.5 : 1.0);
        at += adaptive_count(row);
    }
    int64_t count = (int64_t)POSITIONS * t->options.width;
    draw(t->x_host, count, "x", 1.0);
    draw(t->dh_host, count, "dh", 1.0);
    put_weights(t);
    put(t, t->x, t->x_host);
    put(t, t->dh, t->dh_host);
}

static void trial_begin(Trial *t, const Shape *shape, bool tied, NumberType operands)
{
    *t = (Trial){.operands = operands,
                 .options = {.layers = 1,
                             .width = shape->width,
                             .window = LENGTH,
                             .vocabulary = shape->vocabulary,
                             .norm = NORM_POST, /* no norm among the weights */
                             .tie_embeddings = tied,
                             .num_cutoffs = shape->num_cutoffs,
                             .adaptive_divisor = shape->divisor}};
    memcpy(t->options.cutoffs, shape->cutoffs, sizeof shape->cutoffs);
    t->place = place_of(t);
    assert_int_equal(device_create_cpu(&t->device, 1), PAL_OK);
    assert_int_equal(arena_create(&t->arena, t->device), PAL_OK);
    parameters_create(&t->parameters, t->arena, &t->options, &t->place, true);
    adaptive_create(&t->definition, &t->options);
    cluster_work_create(&t->work, t->arena, &t->options, &t->place);
    embedding_create(&t->embedding, &t->parameters, &t->options, &t->place, &t->work);
    output_create(&t->output, t->arena, &t->parameters, &t->options, &t->place, &grid.world,
                  &t->work);
    int width = shape->width;
    t->nats = arena_tensor_2d(t->arena, PURPOSE_WORKSPACE, ROWS, LENGTH);
    t->x = arena_typed_3d(t->arena, PURPOSE_WORKSPACE, operands, ROWS, LENGTH, width);
    t->dx = arena_tensor_3d(t->arena, PURPOSE_WORKSPACE, ROWS, LENGTH, width);
    t->h = arena_tensor_3d(t->arena, PURPOSE_WORKSPACE, ROWS, LENGTH, width);
    t->dh = arena_tensor_3d(t->arena, PURPOSE_WORKSPACE, ROWS, LENGTH, width);
    assert_int_equal(
        t->device->op->reserve(
            t->device, (OperationSizes){.rows = POSITIONS,
                                        .width = width,
                                        .columns = ADAPTIVE_MOST_TOKENS,
                                        .weight = ADAPTIVE_MOST_TOKENS * ADAPTIVE_MOST_WIDTH,
                                        .rounded = ADAPTIVE_MOST_TOKENS * ADAPTIVE_MOST_WIDTH}),
        PAL_OK);
    assert_int_equal(arena_seal(t->arena), PAL_OK);
    draw_all(t);
    t->window = (Window){.rows = ROWS,
                         .length = LENGTH,
                         .inputs = t->inputs,
                         .targets = t->targets,
                         .counted = counted};
}

static void trial_end(Trial *t)
{
    adaptive_destroy(&t->definition);
    arena_destroy(&t->arena);
    device_destroy(&t->device);
}

static void draw_tokens(Trial *t, Targets which)
{
    RandomStream stream = random_stream(11, "tokens");
    int tails = t->options.num_cutoffs, tokens = t->options.vocabulary;
    for (int i = 0; i < POSITIONS; i++) {
        int32_t target = (int32_t)(random_uniform(stream, (uint64_t)i) * tokens);
        int first = which == ALL_IN_LAST ? t->options.cutoffs[tails - 1] : 0;
        int end = which == ALL_IN_HEAD ? t->options.cutoffs[0] : tokens;
        target = first + target % (end - first);
        if (which == NONE_IN_FIRST_TAIL && target >= t->options.cutoffs[0] &&
            (tails == 1 || target < t->options.cutoffs[1]))
            target = 0;
        t->targets[i] = is_counted(i) ? target : -1;
        t->inputs[i] = (int32_t)(random_uniform(stream, (uint64_t)(i + POSITIONS)) * tokens);
    }
}

static bool is_near(const Trial *t, double found, double expected)
{
    return fabs(found - expected) <= tolerances[t->operands] * (1.0 + fabs(expected));
}

/* --- comparisons ------------------------------------------------------------------------------- */

static double worst; /* error of float32, relative to 1 + |expected| */

static void see(const Trial *t, double found, double expected)
{
    double error = fabs(found - expected) / (1.0 + fabs(expected));
    if (t->operands == NUMBER_FLOAT32 && error > worst) worst = error;
}

static bool numbers_are_near(const Trial *t, const Real *found, const double *expected,
                             int64_t count)
{
    bool near = true;
    for (int64_t i = 0; i < count; i++) {
        see(t, (double)found[i], expected[i]);
        near = near && is_near(t, (double)found[i], expected[i]);
    }
    return near;
}

/* Every token is the target of every position once: each has its probability, and together 1. */
static bool every_token_has_its_probability(Trial *t)
{
    bool near = true;
    double sums[POSITIONS] = {0};
    for (int32_t token = 0; token < t->options.vocabulary; token++) {
        for (int i = 0; i < POSITIONS; i++) t->targets[i] = is_counted(i) ? token : -1;
        output_loss(t->device, &t->output, t->nats, tensor_none, t->x, &t->window);
        for (int i = 0; i < POSITIONS; i++) {
            double nats = (double)tensor_reals(t->nats)[i], log_p[ADAPTIVE_MOST_TOKENS];
            adaptive_log_p(&t->definition, t->x_host + (ptrdiff_t)i * t->options.width, log_p);
            if (is_counted(i)) see(t, nats, -log_p[token]);
            near = near && (is_counted(i) ? is_near(t, nats, -log_p[token]) : nats == 0.0);
            sums[i] += exp(-nats);
        }
    }
    for (int i = 0; i < POSITIONS; i++) near = near && (!is_counted(i) || is_near(t, sums[i], 1.0));
    return near;
}

/* What generation chooses from, on one rank. */
static bool logits_give_the_probabilities(Trial *t)
{
    bool near = true;
    int64_t width = t->options.width;
    for (int i = 0; i < POSITIONS && grid.world.size == 1; i++) {
        Real logits[ADAPTIVE_MOST_TOKENS];
        double log_p[ADAPTIVE_MOST_TOKENS], sum = 0.0;
        output_logits(t->device, &t->output, logits, tensor_slice(tensor_as_matrix(t->x), i, 1));
        adaptive_log_p(&t->definition, t->x_host + i * width, log_p);
        for (int v = 0; v < t->options.vocabulary; v++) sum += exp((double)logits[v]);
        for (int v = 0; v < t->options.vocabulary; v++)
            near = near && is_near(t, (double)logits[v] - log(sum), log_p[v]);
    }
    return near;
}

static bool input_is_near(Trial *t)
{
    bool near = true;
    t->device->op->fill(t->device, t->h, 7.0); /* is overwritten */
    embedding_forward(t->device, &t->embedding, t->h, &t->window);
    group_sum(&grid.world, TRAFFIC_ACTIVATIONS, tensor_reals(t->h), tensor_count(t->h));
    for (int i = 0; i < POSITIONS; i++) {
        double h[ADAPTIVE_MOST_WIDTH] = {0};
        if (is_counted(i)) adaptive_embed(&t->definition, t->inputs[i], h);
        near = near && numbers_are_near(t, tensor_reals(t->h) + (ptrdiff_t)i * t->options.width, h,
                                        t->options.width);
    }
    return near;
}

static bool dx_is_near(Trial *t)
{
    bool near = true;
    int64_t count = tensor_count(t->dx);
    group_sum(&grid.world, TRAFFIC_ACTIVATIONS, tensor_reals(t->dx), count);
    for (int64_t i = 0; i < count; i++) {
        double expected = derivative(t, &t->x_host[i]), found = (double)tensor_reals(t->dx)[i];
        see(t, found, expected);
        near = near && is_near(t, found, expected);
    }
    return near;
}

/* This rank's slice of the gradient of each parameter. */
static bool weights_are_near(Trial *t)
{
    bool near = true;
    double *whole = t->definition.weights;
    for (int r = 0; r < t->definition.whole.count;
         whole += adaptive_count(&t->definition.whole.table[r]), r++) {
        const Parameter *row = parameters_find(&t->parameters, t->definition.whole.table[r].name);
        Tensor gradient = parameter_view(row, t->parameters.gradient);
        int64_t columns = row->num_dims == 2 ? row->dims[1] : 1;
        int64_t count = row->dims[0] * columns;
        if (row->shared) group_sum(&grid.world, TRAFFIC_GRADIENTS, tensor_reals(gradient), count);
        bool row_near = true;
        for (int64_t i = 0; i < count; i++) {
            double expected = derivative(t, &whole[row->first[0] * columns + i]);
            double found = (double)tensor_reals(gradient)[i];
            see(t, found, expected);
            row_near = row_near && is_near(t, found, expected);
        }
        if (!row_near) print_error("%s\n", row->name);
        near = near && row_near;
    }
    return near;
}

/* Three numbers for every position, and for every target of a tail, to each of the others. */
static bool sent_what_it_should(const Trial *t, double bytes)
{
    int exchanged = POSITIONS;
    for (int i = 0; i < POSITIONS; i++) exchanged += t->targets[i] >= t->options.cutoffs[0];
    return bytes == 3.0 * sizeof(Real) * (grid.world.size - 1) * exchanged;
}

static bool gradients_are_near(Trial *t)
{
    double before = traffic_bytes(grid.world.traffic);
    t->device->op->fill(t->device, t->parameters.gradient, 0.0);
    t->device->op->fill(t->device, t->dx, 0.0);
    output_loss(t->device, &t->output, t->nats, t->dx, t->x, &t->window);
    assert_on_all_ranks(sent_what_it_should(t, traffic_bytes(grid.world.traffic) - before));
    embedding_backward(t->device, &t->embedding, t->dh, &t->window);
    bool near = dx_is_near(t);
    return weights_are_near(t) && near;
}

static void run_trial(const Shape *shape, bool tied, NumberType operands, int piece)
{
    Trial t;
    trial_begin(&t, shape, tied, operands);
    if (piece > 0) t.work.most = piece;
    for (int i = 0; i < t.output.count && piece > 0; i++) t.output.clusters[i].piece = piece;
    assert_on_all_ranks(every_token_has_its_probability(&t));
    assert_on_all_ranks(logits_give_the_probabilities(&t));
    for (Targets which = ANY; which < NUM_TARGETS; which++) {
        draw_tokens(&t, which);
        assert_on_all_ranks(input_is_near(&t));
        assert_on_all_ranks(gradients_are_near(&t));
    }
    trial_end(&t);
}

static void clusters_are_a_full_softmax(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_SHAPES; s++)
        for (int tied = 0; tied < 2; tied++) {
            run_trial(&shapes[s], tied, NUMBER_FLOAT32, 0);
            run_trial(&shapes[s], tied, NUMBER_FLOAT32, 3); /* positions at a time */
        }
    print_message("           off by %.1e at most\n", worst);
}

static void in_bfloat16_too(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_SHAPES; s++)
        for (int tied = 0; tied < 2; tied++) run_trial(&shapes[s], tied, NUMBER_BFLOAT16, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clusters_are_a_full_softmax),
        cmocka_unit_test(in_bfloat16_too),
    };
    return cmocka_run_group_tests(tests, start_ranks, stop_ranks);
}
