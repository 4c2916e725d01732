/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradients of the whole model in double precision, by central differences of every tensor in the
 * table of parameters:
 *
 *     the sum of nats of a window by the main weights, memories as they are;
 *     the sum of the layers' compression losses by the weights of f_c and decoder;
 *     with compression_loss = task, the nats of an update by f_c, through the slots it made.
 *
 * And the exact zeros: the one loss never adds to the other's weights.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/checked.h"
#include "tests/model_settings.h"

_Static_assert(sizeof(Real) == sizeof(double), "differences need the double-precision build");

/* A sum of some 30 nats is off by a few of its roundings, 1e-15 each, so a difference over 2e-6
 * by some 1e-8; the third derivative adds less. What a forgotten term or a wrong index changes
 * is above 1e-3. With steps so small a relu's kink practically never lies between the two
 * values. */
static const double tolerance = 5e-7;

enum { SAMPLES = 3, UPDATE_WINDOWS = 4 };

typedef struct Problem {
    const Setting *setting;
    Fixture fixture;
    TestWindow windows[UPDATE_WINDOWS];
    Real *gradient; /* as backward gave it: the model's own is overwritten by the differences */
    Real *weights, *changed; /* of the task loss through slots */
    Real *a;                 /* (UPDATE_WINDOWS, L, B T D) likewise */
    double worst;
} Problem;

static size_t weight_bytes(const Problem *p)
{
    return checked_size(tensor_count(p->fixture.parameters.value)) * sizeof(Real);
}

/* The state before the window that the setting looks at; p->windows start with that one. */
static void begin(Problem *p, const Setting *setting)
{
    *p = (Problem){.setting = setting};
    int64_t first = setting->window > 0 ? setting->window : 7;
    fixture_create(&p->fixture, setting);
    fixture_run_schedule(&p->fixture, first);
    fixture_keep_memory(&p->fixture);
    for (int i = 0; i < UPDATE_WINDOWS; i++) fixture_window(&p->fixture, &p->windows[i], first + i);
    p->gradient = malloc(weight_bytes(p));
    p->weights = malloc(weight_bytes(p));
    p->changed = malloc(weight_bytes(p));
    Tensor h = p->fixture.model.flights[0].h;
    size_t layer = checked_size(tensor_count(h)) * sizeof(Real);
    p->a = malloc(UPDATE_WINDOWS * checked_size(p->fixture.options.layers) * layer);
    assert_true(p->gradient != NULL && p->weights != NULL && p->changed != NULL && p->a != NULL);
    memcpy(p->weights, tensor_reals(p->fixture.parameters.value), weight_bytes(p));
}

static void end(Problem *p)
{
    free(p->gradient), free(p->weights), free(p->changed), free(p->a);
    fixture_destroy(&p->fixture);
}

static void keep_gradient(Problem *p)
{
    memcpy(p->gradient, tensor_reals(p->fixture.parameters.gradient), weight_bytes(p));
}

/* --- comparison with differences ------------------------------------------------------------ */

/* The derivative along `direction` in one tensor of the table. */
static void check_direction(Problem *p, double (*loss)(void *), const Parameter *row,
                            const Real *direction, const char *which)
{
    Tensor value = parameter_view(row, p->fixture.parameters.value);
    double expected =
        central_difference(loss, p, tensor_reals(value), direction, tensor_count(value));
    double found = 0.0;
    for (int64_t i = 0; i < tensor_count(value); i++)
        found += p->gradient[row->offset + i] * direction[i];
    double error = fabs(found - expected) / (1.0 + fabs(expected));
    if (!(error <= tolerance))
        fail_msg("%s: %s, %s: the gradient is %.10g, the difference %.10g", p->setting->name,
                 row->name, which, found, expected);
    if (error > p->worst) p->worst = error;
}

/* A few elements of one tensor, then all of them along a random direction of length 1. */
static void check_tensor(Problem *p, double (*loss)(void *), const Parameter *row)
{
    int64_t count = tensor_count(parameter_view(row, p->fixture.parameters.value));
    Real *direction = calloc(checked_size(count), sizeof *direction);
    assert_non_null(direction);
    RandomStream stream = random_stream(31, row->name);
    for (uint64_t s = 0; s < SAMPLES; s++) {
        int64_t element = (int64_t)(random_uniform(stream, s) * (double)count);
        char which[32];
        snprintf(which, sizeof which, "element %lld", (long long)element);
        direction[element] = 1;
        check_direction(p, loss, row, direction, which);
        direction[element] = 0;
    }
    fixture_draw(direction, count, row->name + 1);
    for (int64_t i = 0; i < count; i++) direction[i] /= sqrt((double)count);
    check_direction(p, loss, row, direction, "a random direction");
    free(direction);
}

static void check_group(Problem *p, double (*loss)(void *), ParameterGroup group)
{
    for (int i = 0; i < p->fixture.parameters.count; i++) {
        const Parameter *row = &p->fixture.parameters.table[i];
        if (row->group == group) check_tensor(p, loss, row);
    }
}

static bool all_zero(const Real *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (numbers[i] != 0) return false;
    return true;
}

static bool group_is_zero(const Parameters *parameters, ParameterGroup group)
{
    Tensor gradient = parameters_group(parameters, parameters->gradient, group);
    return all_zero(tensor_reals(gradient), tensor_count(gradient));
}

/* --- the task loss by the main weights ------------------------------------------------------- */

static double window_nats(void *context)
{
    Problem *p = context;
    fixture_restore_memory(&p->fixture);
    model_weights_changed(&p->fixture.model);
    model_forward(&p->fixture.model, 0, &p->windows[0].view, 0, false);
    return fixture_nats(&p->fixture);
}

static void task_loss_matches_differences(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int i = 0; i < NUM_MODEL_SETTINGS; i++) {
        Problem p;
        begin(&p, &model_settings[i]);
        model_begin_update(&p.fixture.model);
        model_forward(&p.fixture.model, 0, &p.windows[0].view, 0, true);
        fixture_backward(&p.fixture.model, 0, true);
        model_finish_update(&p.fixture.model);
        keep_gradient(&p);
        check_group(&p, window_nats, GROUP_MAIN);
        worst = fmax(worst, p.worst);
        end(&p);
    }
    print_message("           task loss by the main weights: off by %.1e at most\n", worst);
}

/* --- the compression losses by f_c and decoder ------------------------------------------------ */

/* Forward does not read these weights, so what it left can be remembered again and again. */
static double compression_sum(void *context)
{
    Problem *p = context;
    Model *model = &p->fixture.model;
    fixture_restore_memory(&p->fixture);
    double total = 0.0;
    for (int l = 0; l < model->options.layers; l++) model->compression_sums[l] = (LossSum){0};
    model_remember(model, 0);
    for (int l = 0; l < model->options.layers; l++) total += model->compression_sums[l].sum;
    return total;
}

static void compression_loss_matches_differences(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int i = 0; i < NUM_MODEL_SETTINGS; i++) {
        Problem p;
        begin(&p, &model_settings[i]);
        Model *model = &p.fixture.model;
        if (model->compression_loss->apply != NULL) {
            model_forward(model, 0, &p.windows[0].view, 0, false);
            fixture_keep_memory(&p.fixture); /* without the rows that the window has emptied */
            model_begin_update(model);
            double sum = compression_sum(&p);
            keep_gradient(&p);
            bool compresses = tensor_exists(model->compression_work.evicted);
            assert_true(compresses ? sum > 0.0 : sum == 0.0);
            check_group(&p, compression_sum, GROUP_COMPRESSION);
            worst = fmax(worst, p.worst);
        }
        end(&p);
    }
    print_message("           compression loss by f_c: off by %.1e at most\n", worst);
}

/* --- the task loss by f_c -------------------------------------------------------------------- */

/* a of all layers in window i of the update, kept or put in place. */
static void copy_a(Problem *p, int i, bool keep)
{
    const Model *model = &p->fixture.model;
    const Flight *flight = &model->flights[0];
    int64_t count = tensor_count(flight->h);
    for (int l = 0; l < model->options.layers; l++) {
        Real *kept = p->a + (i * model->options.layers + l) * count;
        Real *now = tensor_reals(flight->layers[l].a);
        memcpy(keep ? kept : now, keep ? now : kept, checked_size(count) * sizeof(Real));
    }
}

static void use_weights(Problem *p, const Real *weights)
{
    memcpy(tensor_reals(p->fixture.parameters.value), weights, weight_bytes(p));
}

/* Window j's nats are read with the changed f_c's slots of the bptt_windows windows before it.
 * Older slots are those of the unchanged f_c, and so is everything that was evicted. */
static double nats_through_slots(void *context)
{
    Problem *p = context;
    Model *model = &p->fixture.model;
    double total = 0.0;
    memcpy(p->changed, tensor_reals(p->fixture.parameters.value), weight_bytes(p));
    for (int j = 0; j < UPDATE_WINDOWS; j++) {
        fixture_restore_memory(&p->fixture);
        for (int i = 0; i < j; i++) {
            model_forward(model, 0, &p->windows[i].view, 0, false); /* also empties rows */
            copy_a(p, i, false);
            use_weights(p, i >= j - model->options.bptt_windows ? p->changed : p->weights);
            model_remember(model, 0);
            model_finish_update(model); /* gives its blocks back */
        }
        model_forward(model, 0, &p->windows[j].view, 0, false);
        total += fixture_nats(&p->fixture);
    }
    use_weights(p, p->changed);
    return total;
}

static void task_loss_through_slots_matches_differences(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        if (model_settings[s].model.compression_loss != COMPRESSION_LOSS_TASK) continue;
        Problem p;
        begin(&p, &model_settings[s]);
        Model *model = &p.fixture.model;
        model_begin_update(model);
        for (int i = 0; i < UPDATE_WINDOWS; i++) {
            model_forward(model, 0, &p.windows[i].view, 0, true);
            copy_a(&p, i, true);
            fixture_backward(model, 0, i == UPDATE_WINDOWS - 1);
        }
        model_finish_update(model);
        keep_gradient(&p);
        assert_false(group_is_zero(&p.fixture.parameters, GROUP_COMPRESSION));
        check_group(&p, nats_through_slots, GROUP_COMPRESSION);
        worst = fmax(worst, p.worst);
        end(&p);
    }
    print_message("           task loss by f_c: off by %.1e at most\n", worst);
}

/* --- exact zeros ------------------------------------------------------------------------------ */

static void assert_unchanged(const Problem *p, ParameterGroup group)
{
    const Parameters *parameters = &p->fixture.parameters;
    Tensor gradient = parameters_group(parameters, parameters->gradient, group);
    const Real *kept = p->gradient + parameters->group_first[group];
    assert_memory_equal(tensor_reals(gradient), kept,
                        checked_size(tensor_count(gradient)) * sizeof(Real));
}

/* A window whose memory does not move on has the task loss alone: what it gives the main
 * weights. */
static void check_task_loss_alone(Problem *p, const Window *window)
{
    Model *model = &p->fixture.model;
    model_begin_update(model);
    model_forward(model, 0, window, 0, false);
    fixture_backward(model, 0, true);
    model_finish_update(model);
    assert_true(group_is_zero(&p->fixture.parameters, GROUP_COMPRESSION));
    assert_false(group_is_zero(&p->fixture.parameters, GROUP_MAIN));
    keep_gradient(p);
}

/* Forward, in which the memory moves on, adds the compression loss; backward and the update's end
 * nothing more to f_c, and to the main weights only what the task loss alone did. */
static void check_both_losses(Problem *p, const Window *window, bool trains)
{
    Model *model = &p->fixture.model;
    const Parameters *parameters = &p->fixture.parameters;
    model_begin_update(model);
    model_forward(model, 0, window, 0, true);
    assert_true(group_is_zero(parameters, GROUP_COMPRESSION) == !trains);
    Tensor f_c = parameters_group(parameters, parameters->gradient, GROUP_COMPRESSION);
    memcpy(p->gradient + parameters->group_first[GROUP_COMPRESSION], tensor_reals(f_c),
           checked_size(tensor_count(f_c)) * sizeof(Real));
    fixture_backward(model, 0, true);
    assert_unchanged(p, GROUP_COMPRESSION);
    model_finish_update(model);
    assert_unchanged(p, GROUP_MAIN);
    assert_true(group_is_zero(parameters, GROUP_COMPRESSION) == !trains);
}

/* Without `task` in every window; with it in an update's first one, which reads no slots of its
 * own. */
static void losses_keep_to_their_weights(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        Problem p;
        begin(&p, &model_settings[s]);
        const Model *model = &p.fixture.model;
        bool trains = model->compression_loss->apply != NULL &&
                      tensor_exists(model->compression_work.evicted);
        for (int i = 0; i < UPDATE_WINDOWS; i++) {
            check_task_loss_alone(&p, &p.windows[i].view);
            check_both_losses(&p, &p.windows[i].view, trains);
        }
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task_loss_matches_differences),
        cmocka_unit_test(compression_loss_matches_differences),
        cmocka_unit_test(task_loss_through_slots_matches_differences),
        cmocka_unit_test(losses_keep_to_their_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
