/* SPDX-License-Identifier: Apache-2.0
 *
 * The optimiser against Adam in plain double-precision loops: moments, bias correction, weight
 * decay on matrices alone, a scale per layer for compression gradients, and clipping group by
 * group.
 */
#include "tests/device_numbers.h"

#include "src/optim/optimizer.h"

enum { LAYERS = 2, UPDATES = 6 };

/* What single precision loses in a handful of operations, relative to the largest value. */
static const double tolerance = 2e-6;

static const ModelOptions model = {
    .layers = LAYERS,
    .width = 6,
    .heads = 2,
    .feed_forward = 10,
    .vocabulary = 11,
    .window = 8,
    .memory = {8, 8},
    .compressed_memory = {4, 4},
    .compression_rate = 2,
    .compression = COMPRESSION_CONV,
    .compression_loss = COMPRESSION_LOSS_AUTOENCODING,
    .norm = NORM_PRE,
    .tie_embeddings = true,
};

/* Alone: no rank to share with. */
static Traffic traffic;
static const Group alone = {.rank = 0, .size = 1, .traffic = &traffic};

typedef struct Fixture {
    Device *device;
    Arena *arena;
    Parameters parameters;
    Optimizer optimizer;
    int64_t count;                             /* numbers of a flat buffer */
    double *value, *first, *second, *gradient; /* (count) the plain copies */
} Fixture;

static double *doubles(int64_t count)
{
    double *list = calloc((size_t)count, sizeof *list);
    assert_non_null(list);
    return list;
}

static void create_part(Fixture *f, const Placement *place)
{
    assert_int_equal(device_create_cpu(&f->device, 2), PAL_OK);
    assert_int_equal(arena_create(&f->arena, f->device), PAL_OK);
    parameters_create(&f->parameters, f->arena, &model, place, true);
    optimizer_create(&f->optimizer, &alone, f->arena, &f->parameters);
    assert_int_equal(arena_seal(f->arena), PAL_OK);
    parameters_initialize(&f->parameters, f->device, 1);

    f->count = tensor_count(f->parameters.value);
    f->value = doubles(f->count);
    f->first = doubles(f->count);
    f->second = doubles(f->count);
    f->gradient = doubles(f->count);
    for (int64_t i = 0; i < f->count; i++)
        f->value[i] = (double)tensor_reals(f->parameters.value)[i];
}

static void create(Fixture *f)
{
    Placement whole = placement_whole(&model, 1);
    create_part(f, &whole);
}

static void destroy(Fixture *f)
{
    free(f->value);
    free(f->first);
    free(f->second);
    free(f->gradient);
    arena_destroy(&f->arena);
    device_destroy(&f->device);
}

static int64_t elements(const Parameter *row)
{
    return tensor_count(parameter_view(row, tensor_none));
}

/* The same gradient on both sides; `size` times larger in the main group. Padding stays zero. */
static void draw_gradients(Fixture *f, int64_t update, double size)
{
    const Parameters *p = &f->parameters;
    RandomStream stream = random_substream(random_stream(5, "test"), (uint64_t)update, 0);
    for (int r = 0; r < p->count; r++) {
        const Parameter *row = &p->table[r];
        for (int64_t i = row->offset; i < row->offset + elements(row); i++) {
            double g = random_normal(stream, (uint64_t)i) * (row->group == GROUP_MAIN ? size : 1.0);
            tensor_reals(p->gradient)[i] = (Real)g;
            f->gradient[i] = (double)tensor_reals(p->gradient)[i];
        }
    }
}

/* All gradients are there; alone, one range as good as two. */
static void measure(Fixture *f, const OptimizerOptions *options, double norms[GROUP_COUNT])
{
    optimizer_reduce_begin(&f->optimizer, f->count / 2, f->count);
    optimizer_reduce_begin(&f->optimizer, 0, f->count / 2);
    optimizer_measure(f->device, &f->optimizer, &alone, options, norms);
}

static void step(Fixture *f, const OptimizerOptions *options, double norms[GROUP_COUNT])
{
    measure(f, options, norms);
    optimizer_step(f->device, &f->optimizer, options, norms);
}

/* One step on the plain copies, from the formulas of Kingma & Ba, algorithm 1. */
static void plain_step(Fixture *f, const OptimizerOptions *o, double norms[GROUP_COUNT])
{
    const Parameters *p = &f->parameters;
    double squares[GROUP_COUNT] = {0.0};
    for (int r = 0; r < p->count; r++) {
        const Parameter *row = &p->table[r];
        double scale = row->group == GROUP_MAIN ? o->main_scale : o->layer_scale[row->layer];
        for (int64_t i = row->offset; i < row->offset + elements(row); i++) {
            f->gradient[i] *= scale;
            squares[row->group] += f->gradient[i] * f->gradient[i];
        }
    }
    for (int g = 0; g < GROUP_COUNT; g++) norms[g] = sqrt(squares[g]);

    for (int r = 0; r < p->count; r++) {
        const Parameter *row = &p->table[r];
        double norm = norms[row->group];
        double clipped = o->clip > 0.0 && norm > o->clip ? o->clip / norm : 1.0;
        double decay =
            row->num_dims == 2 && strstr(row->name, "bias") == NULL ? o->weight_decay : 0;
        for (int64_t i = row->offset; i < row->offset + elements(row); i++) {
            double g = clipped * f->gradient[i];
            f->first[i] = 0.9 * f->first[i] + 0.1 * g;
            f->second[i] = 0.999 * f->second[i] + 0.001 * g * g;
            double m = f->first[i] / (1.0 - pow(0.9, (double)o->update));
            double v = f->second[i] / (1.0 - pow(0.999, (double)o->update));
            f->value[i] -= o->learning_rate * (m / (sqrt(v) + 1e-8) + decay * f->value[i]);
        }
    }
}

static void assert_close(Tensor found, const double *expected, int64_t count, const char *what)
{
    double largest = 0.0, worst = 0.0;
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(expected[i]));
        worst = fmax(worst, fabs((double)tensor_reals(found)[i] - expected[i]));
    }
    if (!(worst <= tolerance * largest))
        fail_msg("%s: off by %.3g, the largest value is %.3g", what, worst, largest);
}

static void assert_equal_state(const Fixture *f)
{
    assert_close(f->optimizer.first_moment, f->first, f->count, "first moment");
    assert_close(f->optimizer.second_moment, f->second, f->count, "second moment");
    assert_close(f->parameters.value, f->value, f->count, "weights");
}

static void assert_norms(const double *found, const double *expected)
{
    for (int g = 0; g < GROUP_COUNT; g++)
        assert_near(found[g], expected[g], tolerance * expected[g]);
}

/* Several updates in a row, so that moments and bias correction take part. */
static void compare_updates(double clip, double weight_decay, double size)
{
    Fixture f;
    create(&f);
    const double layer_scale[LAYERS] = {0.5, 0.125};
    for (int64_t update = 1; update <= UPDATES; update++) {
        OptimizerOptions options = {.learning_rate = 1e-3 * (double)update,
                                    .clip = clip,
                                    .weight_decay = weight_decay,
                                    .update = update,
                                    .main_scale = 0.25,
                                    .layer_scale = layer_scale};
        double norms[GROUP_COUNT], expected[GROUP_COUNT];
        draw_gradients(&f, update, size);
        step(&f, &options, norms);
        plain_step(&f, &options, expected);
        assert_norms(norms, expected);
        assert_equal_state(&f);
    }
    destroy(&f);
}

static void steps_are_those_of_adam(void **state)
{
    (void)state;
    compare_updates(0.0, 0.0, 1.0);
}

static void weight_decay_is_for_matrices(void **state)
{
    (void)state;
    compare_updates(0.0, 0.3, 1.0);
}

/* Both groups are far above the bound, one alone, none. */
static void clipping_is_that_of_the_group(void **state)
{
    (void)state;
    compare_updates(0.1, 0.0, 1.0);
    compare_updates(8.0, 0.0, 100.0);
    compare_updates(8.0, 0.0, 1e-4);
    compare_updates(1e6, 0.0, 1.0);
}

/* However large the main gradient is, steps of the compression group keep their bits. */
static void main_gradient_never_shrinks_a_compression_step(void **state)
{
    (void)state;
    Fixture small, large;
    create(&small);
    create(&large);
    const double layer_scale[LAYERS] = {1.0, 1.0};
    OptimizerOptions options = {.learning_rate = 1e-3,
                                .clip = 0.1,
                                .update = 1,
                                .main_scale = 1.0,
                                .layer_scale = layer_scale};
    double norms[GROUP_COUNT], other[GROUP_COUNT];
    draw_gradients(&small, 1, 1e-3);
    draw_gradients(&large, 1, 1e3);
    step(&small, &options, norms);
    step(&large, &options, other);

    assert_true(norms[GROUP_COMPRESSION] == other[GROUP_COMPRESSION]);
    assert_true(other[GROUP_MAIN] > 1e5 * norms[GROUP_MAIN]);
    const Parameters *a = &small.parameters, *b = &large.parameters;
    assert_same_bits(parameters_group(a, a->value, GROUP_COMPRESSION),
                     parameters_group(b, b->value, GROUP_COMPRESSION));
    assert_same_bits(parameters_group(a, small.optimizer.second_moment, GROUP_COMPRESSION),
                     parameters_group(b, large.optimizer.second_moment, GROUP_COMPRESSION));
    destroy(&small);
    destroy(&large);
}

/* Adam's first step is rate x the sign of the gradient, so nothing may happen where there is
 * none. */
static void weights_without_gradient_stay(void **state)
{
    (void)state;
    Fixture f;
    create(&f);
    const double layer_scale[LAYERS] = {0.0, 0.0};
    OptimizerOptions options = {.learning_rate = 1.0,
                                .clip = 0.1,
                                .update = 1,
                                .main_scale = 1.0,
                                .layer_scale = layer_scale};
    double norms[GROUP_COUNT];
    Tensor before = copy_of(f.parameters.value);
    step(&f, &options, norms);
    assert_true(norms[GROUP_MAIN] == 0.0 && norms[GROUP_COMPRESSION] == 0.0);
    assert_same_bits(f.parameters.value, before);
    release(before);
    destroy(&f);
}

/* One number that is none, in either group: its norm says so, and nothing has moved. */
static void measuring_a_gradient_that_is_not_finite_moves_nothing(void **state)
{
    (void)state;
    const double layer_scale[LAYERS] = {1.0, 1.0};
    OptimizerOptions options = {
        .learning_rate = 1.0, .update = 1, .main_scale = 1.0, .layer_scale = layer_scale};
    for (int group = 0; group < GROUP_COUNT; group++) {
        Fixture f;
        create(&f);
        double norms[GROUP_COUNT];
        draw_gradients(&f, 1, 1.0);
        tensor_reals(f.parameters.gradient)[f.parameters.group_first[group]] = (Real)INFINITY;
        Tensor before = copy_of(f.parameters.value), moment = copy_of(f.optimizer.first_moment);
        measure(&f, &options, norms);
        bool finite = isfinite(norms[group]);
        assert_false(finite);
        assert_same_bits(f.parameters.value, before);
        assert_same_bits(f.optimizer.first_moment, moment);
        release(before);
        release(moment);
        destroy(&f);
    }
}

/* Of the ranks of a tensor group one counts what they share, so that the squares of all of them are
 * those of the whole; but each updates its own copy. */
static void what_is_shared_counts_once_in_norms(void **state)
{
    (void)state;
    const double layer_scale[LAYERS] = {1.0, 1.0};
    OptimizerOptions options = {
        .learning_rate = 1e-3, .update = 1, .main_scale = 1.0, .layer_scale = layer_scale};
    for (int part = 0; part < 2; part++) {
        Placement place = placement_whole(&model, 1);
        place.tensor_parts = 2;
        place.tensor_part = part;
        place.slices[0].count = part == 0 ? 6 : 5;
        place.slices[0].first = part == 0 ? 0 : 6;
        Fixture f;
        create_part(&f, &place);
        draw_gradients(&f, 1, 1.0);

        double squares[GROUP_COUNT] = {0.0}, norms[GROUP_COUNT], of_all[GROUP_COUNT];
        const Parameters *p = &f.parameters;
        for (int r = 0; r < p->count; r++) {
            const Parameter *row = &p->table[r];
            bool whole = row->dims[0] == row->whole[0] && row->dims[1] == row->whole[1];
            if (whole && part == 1) continue;
            for (int64_t i = row->offset; i < row->offset + elements(row); i++)
                squares[row->group] += f.gradient[i] * f.gradient[i];
        }
        step(&f, &options, norms);
        for (int g = 0; g < GROUP_COUNT; g++)
            assert_near(norms[g], sqrt(squares[g]), tolerance * sqrt(squares[g]));
        assert_int_equal(norms[GROUP_COMPRESSION] == 0.0, part == 1); /* f_c is all shared */
        plain_step(&f, &options, of_all);
        assert_equal_state(&f);
        destroy(&f);
    }
}

/* In place of a step: the gradients can be formed anew. */
static void an_abandoned_update_leaves_nothing(void **state)
{
    (void)state;
    const double layer_scale[LAYERS] = {1.0, 1.0};
    OptimizerOptions options = {
        .learning_rate = 1e-3, .update = 1, .main_scale = 1.0, .layer_scale = layer_scale};
    Fixture f;
    double norms[GROUP_COUNT], expected[GROUP_COUNT];
    create(&f);
    draw_gradients(&f, 2, 5.0);
    optimizer_reduce_begin(&f.optimizer, 0, f.count);
    optimizer_abandon(&f.optimizer);
    draw_gradients(&f, 1, 1.0);
    step(&f, &options, norms);
    plain_step(&f, &options, expected);
    assert_norms(norms, expected);
    assert_equal_state(&f);
    destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_those_of_adam),
        cmocka_unit_test(weight_decay_is_for_matrices),
        cmocka_unit_test(clipping_is_that_of_the_group),
        cmocka_unit_test(main_gradient_never_shrinks_a_compression_step),
        cmocka_unit_test(weights_without_gradient_stay),
        cmocka_unit_test(what_is_shared_counts_once_in_norms),
        cmocka_unit_test(an_abandoned_update_leaves_nothing),
        cmocka_unit_test(measuring_a_gradient_that_is_not_finite_moves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
