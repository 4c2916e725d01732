/* SPDX-License-Identifier: Apache-2.0
 *
 * Micro-batches in flight change nothing: rows in one or more groups, and later windows' forwards
 * before a window's backward, as the stages of a pipeline run them, give the nats, the compression
 * losses, the gradients and the memories of one window of all rows after the other.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/pipeline_schedule.h"
#include "src/base/checked.h"
#include "tests/model_settings.h"

_Static_assert(sizeof(Real) == sizeof(double), "the tolerance is that of double precision");

/* Sums over rows and windows in another order: some thousand roundings of 1e-16 of the largest
 * number of a tensor. A slot of another window is off by 1e-3 and more. */
static const double tolerance = 1e-12;

enum { UPDATES = 3, WINDOWS = 5 /* in each */, MOST_MICRO_BATCHES = WINDOWS * FIXTURE_ROWS };

/* The same model twice, and what one update of it gives. */
typedef struct Pair {
    const char *name;
    Fixture plain;  /* one flight, one row group */
    Fixture piped;  /* several */
    Tensor nats[2]; /* (WINDOWS, rows, T) of both */
    double worst;
} Pair;

static Tensor new_nats(const Fixture *fixture)
{
    int64_t rows = FIXTURE_ROWS, length = fixture->options.window;
    Real *numbers = calloc(checked_size(WINDOWS * rows * length), sizeof *numbers);
    assert_non_null(numbers);
    return tensor_3d(numbers, WINDOWS, rows, length);
}

static void pair_begin(Pair *pair, const Setting *from, int groups, int flights)
{
    Setting setting = *from;
    setting.rows = FIXTURE_ROWS;
    *pair = (Pair){.name = from->name};
    fixture_create(&pair->plain, &setting);
    setting.groups = groups;
    setting.flights = flights;
    fixture_create(&pair->piped, &setting);
    for (int i = 0; i < 2; i++) pair->nats[i] = new_nats(&pair->plain);
}

static void pair_end(Pair *pair)
{
    for (int i = 0; i < 2; i++) free(tensor_reals(pair->nats[i]));
    fixture_destroy(&pair->plain);
    fixture_destroy(&pair->piped);
}

/* --- one update ------------------------------------------------------------------------------- */

/* Forward of one micro-batch; its nats to their place in nats. */
static void forward(Fixture *fixture, Tensor nats, int flight, int64_t update, PipelinePlace place)
{
    TestWindow window; /* gone before backward: the flight has its own copy */
    fixture_window(fixture, &window, update * WINDOWS + place.window);
    Window part = fixture_part(fixture, &window.view, place.group);
    int64_t first_row = fixture_first_row(fixture, place.group);
    model_forward(&fixture->model, flight, &part, (int)first_row, true);
    Tensor found = fixture->model.flights[flight].nats;
    memcpy(tensor_reals(nats) + (place.window * nats.dims[1] + first_row) * nats.dims[2],
           tensor_reals(found), checked_size(tensor_count(found)) * sizeof(Real));
}

/* As a stage with `flights` - 1 stages behind it runs an update. */
static void run_update(Fixture *fixture, Tensor nats, int64_t update)
{
    Model *model = &fixture->model;
    int groups = model->place.row_groups;
    PipelineAction actions[2 * MOST_MICRO_BATCHES];
    int count = pipeline_schedule(model->place.flights, WINDOWS * groups, actions);
    model_begin_update(model);
    for (int i = 0; i < count; i++) {
        PipelinePlace place = pipeline_place(groups, actions[i].micro_batch);
        if (actions[i].work == PIPELINE_FORWARD)
            forward(fixture, nats, actions[i].flight, update, place);
        else
            fixture_backward(model, actions[i].flight, i == count - 1);
    }
    model_finish_update(model);
}

/* --- comparison ------------------------------------------------------------------------------- */

static double largest(Tensor x)
{
    double found = 0.0;
    for (int64_t i = 0; i < tensor_count(x); i++) found = fmax(found, fabs(tensor_reals(x)[i]));
    return found;
}

static void assert_near(Pair *pair, Tensor found, Tensor expected, const char *what)
{
    double size = largest(expected);
    assert_int_equal(tensor_count(found), tensor_count(expected));
    for (int64_t i = 0; i < tensor_count(found); i++) {
        double difference = fabs(tensor_reals(found)[i] - tensor_reals(expected)[i]);
        if (!(difference <= tolerance * size))
            fail_msg("%s, %d groups, %d flights: %s: found %.15g, expected %.15g, of up to %.3g",
                     pair->name, pair->piped.model.place.row_groups,
                     pair->piped.model.place.flights, what, tensor_reals(found)[i],
                     tensor_reals(expected)[i], size);
        if (size > 0.0) pair->worst = fmax(pair->worst, difference / size);
    }
}

static void compare_gradients(Pair *pair)
{
    const Parameters *found = &pair->piped.parameters, *expected = &pair->plain.parameters;
    for (int i = 0; i < expected->count; i++)
        assert_near(pair, parameter_view(&found->table[i], found->gradient),
                    parameter_view(&expected->table[i], expected->gradient),
                    expected->table[i].name);
}

static void compare_losses(Pair *pair)
{
    for (int l = 0; l < pair->plain.options.layers; l++) {
        LossSum found = pair->piped.model.compression_sums[l];
        LossSum expected = pair->plain.model.compression_sums[l];
        assert_near(pair, tensor_1d(&found.sum, 1), tensor_1d(&expected.sum, 1),
                    "compression loss");
        assert_true(found.count == expected.count);
    }
}

static void assert_same_ints(const int *found, const int *expected, int count)
{
    assert_memory_equal(found, expected, checked_size(count) * sizeof *found);
}

static void compare_memories(Pair *pair)
{
    const Placement *place = &pair->piped.model.place;
    for (int l = 0; l < pair->plain.options.layers; l++) {
        MemoryView expected = fixture_view(&pair->plain, l, 0);
        const MemoryMark *expected_mark = &pair->plain.model.flights[0].marks[l];
        for (int g = 0; g < place->row_groups; g++) {
            MemoryView found = fixture_view(&pair->piped, l, g);
            const MemoryMark *mark = &pair->piped.model.flights[0].marks[l];
            int first = g * place->rows, rows = place->rows;
            assert_near(pair, found.recent, tensor_slice(expected.recent, first, rows), "memory");
            assert_near(pair, found.compressed, tensor_slice(expected.compressed, first, rows),
                        "compressed memory");
            assert_same_ints(mark->valid_recent, expected_mark->valid_recent + first, rows);
            assert_same_ints(mark->valid_compressed, expected_mark->valid_compressed + first, rows);
        }
    }
}

static double check_setting(const Setting *setting, int groups, int flights)
{
    Pair pair;
    pair_begin(&pair, setting, groups, flights);
    for (int64_t update = 0; update < UPDATES; update++) {
        run_update(&pair.plain, pair.nats[0], update);
        run_update(&pair.piped, pair.nats[1], update);
        assert_near(&pair, pair.nats[1], pair.nats[0], "nats");
        compare_losses(&pair);
        compare_gradients(&pair);
        compare_memories(&pair);
    }
    double worst = pair.worst;
    pair_end(&pair);
    return worst;
}

/* Row groups, flights. Three flights of two groups: two windows of the same rows under way. */
static const int orders[][2] = {{2, 1}, {2, 2}, {2, 3}, {1, 2}, {1, 3}, {4, 3}};

static void micro_batches_in_flight_change_nothing(void **state)
{
    (void)state;
    double worst = 0.0;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++)
        for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
            worst = fmax(worst, check_setting(&model_settings[s], orders[i][0], orders[i][1]));
    print_message("           micro-batches in flight: off by %.1e at most\n", worst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(micro_batches_in_flight_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
