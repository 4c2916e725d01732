/* SPDX-License-Identifier: Apache-2.0
 *
 * The 1F1B schedule: every list by itself, then all stages of a pipeline together in a simulation
 * that knows only who waits for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mpi/pipeline_schedule.h"

enum { MOST_STAGES = 6, MOST_MICRO_BATCHES = 20, MOST_ACTIONS = 2 * MOST_MICRO_BATCHES };
enum { FREE = -1, NOT_YET = -1 };

/* --- one stage by itself --------------------------------------------------------------------- */

/* Runs `check` on the list of every number of flights and micro-batches. The list lies before a
 * mark. */
static void for_every_list(void (*check)(const PipelineAction *actions, int flights,
                                         int micro_batches))
{
    for (int m = 1; m <= MOST_MICRO_BATCHES; m++)
        for (int flights = 1; flights <= m; flights++) {
            PipelineAction actions[MOST_ACTIONS + 1];
            PipelineAction *mark = actions + m + m;
            mark->micro_batch = -7;
            assert_int_equal(pipeline_schedule(flights, m, actions), 2 * m);
            assert_int_equal(mark->micro_batch, -7);
            check(actions, flights, m);
        }
}

/* With 2m actions this also says that each comes once. */
static void check_order(const PipelineAction *actions, int flights, int micro_batches)
{
    (void)flights;
    int forward = 0, backward = 0;
    for (int i = 0; i < 2 * micro_batches; i++) {
        if (actions[i].work == PIPELINE_FORWARD) {
            assert_int_equal(actions[i].micro_batch, forward++);
        } else {
            assert_int_equal(actions[i].work, PIPELINE_BACKWARD);
            assert_int_equal(actions[i].micro_batch, backward++);
            assert_true(backward <= forward);
        }
    }
    assert_int_equal(forward, micro_batches);
    assert_int_equal(backward, micro_batches);
}

static void each_runs_once_in_order_forward_before_backward(void **state)
{
    (void)state;
    for_every_list(check_order);
}

static void check_number_in_flight(const PipelineAction *actions, int flights, int micro_batches)
{
    int in_flight = 0, most = 0;
    for (int i = 0; i < 2 * micro_batches; i++) {
        in_flight += actions[i].work == PIPELINE_FORWARD ? 1 : -1;
        if (in_flight > most) most = in_flight;
    }
    assert_int_equal(most, flights);
}

static void flights_are_reached_and_never_exceeded(void **state)
{
    (void)state;
    for_every_list(check_number_in_flight);
}

static void check_slots(const PipelineAction *actions, int flights, int micro_batches)
{
    int slots[MOST_MICRO_BATCHES];
    for (int i = 0; i < flights; i++) slots[i] = FREE;
    for (int i = 0; i < 2 * micro_batches; i++) {
        assert_in_range(actions[i].flight, 0, flights - 1);
        int *slot = &slots[actions[i].flight];
        bool forward = actions[i].work == PIPELINE_FORWARD;
        assert_int_equal(*slot, forward ? FREE : actions[i].micro_batch);
        *slot = forward ? actions[i].micro_batch : FREE;
    }
}

static void a_slot_is_free_at_forward_and_full_at_backward(void **state)
{
    (void)state;
    for_every_list(check_slots);
}

static void flights_are_the_stages_from_here_on(void **state)
{
    (void)state;
    assert_int_equal(pipeline_flights(1, 0, 20, 0), 1);
    assert_int_equal(pipeline_flights(4, 0, 20, 0), 4);
    assert_int_equal(pipeline_flights(4, 1, 20, 0), 3);
    assert_int_equal(pipeline_flights(4, 3, 20, 0), 1);
    assert_int_equal(pipeline_flights(4, 0, 3, 0), 3);
    assert_int_equal(pipeline_flights(4, 2, 1, 0), 1);
    assert_int_equal(pipeline_flights(4, 0, 20, 2), 6);
    assert_int_equal(pipeline_flights(4, 2, 20, 1), 3);
    assert_int_equal(pipeline_flights(4, 2, 2, 1), 2);
    assert_int_equal(pipeline_flights(4, 3, 20, 5), 1);
    assert_int_equal(pipeline_flights(1, 0, 20, 5), 1);
}

/* Micro-batches as numbers from 1, a backward with a minus. */
static void assert_list(int stages, int stage, int micro_batches, int run_ahead,
                        const int *expected)
{
    PipelineAction actions[MOST_ACTIONS];
    int flights = pipeline_flights(stages, stage, micro_batches, run_ahead);
    int count = pipeline_schedule(flights, micro_batches, actions);
    for (int i = 0; i < count; i++) {
        int sign = actions[i].work == PIPELINE_FORWARD ? 1 : -1;
        assert_int_equal(sign * (actions[i].micro_batch + 1), expected[i]);
    }
}

static void known_lists(void **state)
{
    (void)state;
    assert_list(3, 0, 4, 0, (const int[]){1, 2, 3, -1, 4, -2, -3, -4});
    assert_list(3, 1, 4, 0, (const int[]){1, 2, -1, 3, -2, 4, -3, -4});
    assert_list(3, 2, 4, 0, (const int[]){1, -1, 2, -2, 3, -3, 4, -4});
    assert_list(4, 0, 2, 0, (const int[]){1, 2, -1, -2});
    assert_list(1, 0, 2, 0, (const int[]){1, -1, 2, -2});
    assert_list(2, 0, 4, 1, (const int[]){1, 2, 3, -1, 4, -2, -3, -4});
    assert_list(2, 1, 4, 1, (const int[]){1, -1, 2, -2, 3, -3, 4, -4});
}

/* --- all stages together --------------------------------------------------------------------- */

typedef struct Stage {
    PipelineAction actions[MOST_ACTIONS];
    int next;                            /* action */
    int clock;                           /* end of its latest action */
    int forward_end[MOST_MICRO_BATCHES]; /* NOT_YET, or when it was through */
    int backward_end[MOST_MICRO_BATCHES];
} Stage;

/* When the input of an action arrives, NOT_YET while nobody has sent it. */
static int arrival(const Stage *stages, int num_stages, int stage, const PipelineAction *action)
{
    if (action->work == PIPELINE_FORWARD)
        return stage == 0 ? 0 : stages[stage - 1].forward_end[action->micro_batch];
    return stage == num_stages - 1 ? 0 : stages[stage + 1].backward_end[action->micro_batch];
}

/* Runs what the stage can run before it has to wait; false if that is nothing. */
static bool advance(Stage *stages, int num_stages, int stage, int num_actions, int forward_cost,
                    int backward_cost)
{
    Stage *self = &stages[stage];
    int before = self->next;
    for (; self->next < num_actions; self->next++) {
        const PipelineAction *action = &self->actions[self->next];
        int input = arrival(stages, num_stages, stage, action);
        if (input == NOT_YET) break;
        bool forward = action->work == PIPELINE_FORWARD;
        if (input > self->clock) self->clock = input;
        self->clock += forward ? forward_cost : backward_cost;
        (forward ? self->forward_end : self->backward_end)[action->micro_batch] = self->clock;
    }
    return self->next > before;
}

/* The time from the first action of the pipeline to its last; fails if all stages wait. */
static int simulate(int num_stages, int micro_batches, int run_ahead, int forward_cost,
                    int backward_cost)
{
    Stage stages[MOST_STAGES];
    for (int s = 0; s < num_stages; s++) {
        stages[s].next = stages[s].clock = 0;
        pipeline_schedule(pipeline_flights(num_stages, s, micro_batches, run_ahead), micro_batches,
                          stages[s].actions);
        for (int m = 0; m < micro_batches; m++)
            stages[s].forward_end[m] = stages[s].backward_end[m] = NOT_YET;
    }
    bool moved = true;
    while (moved) {
        moved = false;
        for (int s = 0; s < num_stages; s++)
            if (advance(stages, num_stages, s, 2 * micro_batches, forward_cost, backward_cost))
                moved = true;
    }
    int end = 0;
    for (int s = 0; s < num_stages; s++) {
        if (stages[s].next < 2 * micro_batches)
            fail_msg("%d stages, %d micro-batches: stage %d waits for ever at its action %d",
                     num_stages, micro_batches, s, stages[s].next);
        if (stages[s].clock > end) end = stages[s].clock;
    }
    return end;
}

/* Every stage works m (f + b). The two shares are quotients of whole numbers with equal values, and
 * a division rounds its exact value: they are equal without a tolerance. */
static void nobody_waits_for_ever_and_idle_time_is_the_formula(void **state)
{
    (void)state;
    static const int costs[][2] = {{1, 1}, {1, 2}, {3, 1}, {2, 5}, {0, 1}, {1, 0}};
    for (int stages = 1; stages <= MOST_STAGES; stages++)
        for (int m = 1; m <= MOST_MICRO_BATCHES; m++)
            for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
                int time = simulate(stages, m, 0, costs[i][0], costs[i][1]);
                int work = m * (costs[i][0] + costs[i][1]);
                assert_int_equal(time * m, work * (m + stages - 1));
                for (int ahead = 1; ahead <= 3; ahead++)
                    assert_int_equal(simulate(stages, m, ahead, costs[i][0], costs[i][1]), time);
                assert_true(pipeline_idle_share(stages, m) == (double)(time - work) / time);
            }
}

/* --- micro-batches of an update -------------------------------------------------------------- */

static void micro_batches_are_in_reading_order(void **state)
{
    (void)state;
    for (int groups = 1; groups <= 5; groups++) {
        int micro_batch = 0;
        for (int window = 0; window < 4; window++)
            for (int group = 0; group < groups; group++) {
                PipelinePlace place = pipeline_place(groups, micro_batch++);
                assert_int_equal(place.window, window);
                assert_int_equal(place.group, group);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_runs_once_in_order_forward_before_backward),
        cmocka_unit_test(flights_are_reached_and_never_exceeded),
        cmocka_unit_test(a_slot_is_free_at_forward_and_full_at_backward),
        cmocka_unit_test(flights_are_the_stages_from_here_on),
        cmocka_unit_test(known_lists),
        cmocka_unit_test(nobody_waits_for_ever_and_idle_time_is_the_formula),
        cmocka_unit_test(micro_batches_are_in_reading_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
