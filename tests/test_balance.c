/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers per stage: against all cuts, tried one by one, and every refusal of a list with its
 * message. Costs are whole numbers or multiples of 1/8, so that sums in any order are exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/balance.h"

enum { MOST_LAYERS = 9, MOST_STAGES = 4 };

typedef struct Costs {
    double layers[MOST_LAYERS];
    double first, last;
} Costs;

/* --- the definition -------------------------------------------------------------------------- */

typedef struct Choice {
    int counts[MOST_STAGES];
    double largest; /* cost of a stage */
    int squares;    /* sum of the squared numbers of layers */
} Choice;

static void judge(Choice *choice, const Costs *costs, int stages)
{
    int layer = 0;
    choice->largest = 0;
    choice->squares = 0;
    for (int stage = 0; stage < stages; stage++) {
        double cost = 0;
        for (int i = 0; i < choice->counts[stage]; i++) cost += costs->layers[layer++];
        if (stage == 0) cost += costs->first;
        if (stage == stages - 1) cost += costs->last;
        if (cost > choice->largest) choice->largest = cost;
        choice->squares += choice->counts[stage] * choice->counts[stage];
    }
}

/* Smaller largest cost, then more even, then shorter at the first difference. */
static bool is_better(const Choice *choice, const Choice *than, int stages)
{
    if (choice->largest != than->largest) return choice->largest < than->largest;
    if (choice->squares != than->squares) return choice->squares < than->squares;
    for (int stage = 0; stage < stages; stage++)
        if (choice->counts[stage] != than->counts[stage])
            return choice->counts[stage] < than->counts[stage];
    return false;
}

/* Every way to write `layers` as `stages` numbers, those before `stage` given. */
static void try_all(Choice *best, Choice *choice, const Costs *costs, int layers, int stages,
                    int stage)
{
    if (stage == stages - 1) {
        choice->counts[stage] = layers;
        judge(choice, costs, stages);
        if (best->counts[0] == 0 || is_better(choice, best, stages)) *best = *choice;
        return;
    }
    for (int count = 1; count <= layers - (stages - 1 - stage); count++) {
        choice->counts[stage] = count;
        try_all(best, choice, costs, layers - count, stages, stage + 1);
    }
}

/* --- balance_layers -------------------------------------------------------------------------- */

static void compare_with_all_cuts(const Costs *costs)
{
    for (int layers = 1; layers <= MOST_LAYERS; layers++)
        for (int stages = 1; stages <= MOST_STAGES && stages <= layers; stages++) {
            Choice best = {{0}, 0, 0}, choice = {{0}, 0, 0}, found = {{0}, 0, 0};
            try_all(&best, &choice, costs, layers, stages, 0);

            Range ranges[MOST_STAGES];
            balance_layers(costs->layers, layers, costs->first, costs->last, stages, ranges);
            int64_t next = 0;
            for (int stage = 0; stage < stages; stage++) {
                assert_int_equal(ranges[stage].first, next);
                assert_true(ranges[stage].count >= 1);
                found.counts[stage] = (int)ranges[stage].count;
                next += ranges[stage].count;
            }
            assert_int_equal(next, layers);
            judge(&found, costs, stages);
            assert_true(found.largest == best.largest);
            assert_memory_equal(found.counts, best.counts, sizeof best.counts);
        }
}

static void chosen_costs_agree_with_all_cuts(void **state)
{
    (void)state;
    static const Costs chosen[] = {
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0},  {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 0.125, 2.5},
        {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 3, 0},  {{1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 50},
        {{9, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 1},  {{1, 1, 1, 1, 9, 1, 1, 1, 1}, 1, 0},
        {{1, 2, 3, 4, 5, 6, 7, 8, 9}, 0, 10}, {{9, 8, 7, 6, 5, 4, 3, 2, 1}, 10, 0},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 0},  {{0, 0, 5, 0, 0, 5, 0, 0, 5}, 0, 0},
    };
    for (size_t i = 0; i < sizeof chosen / sizeof *chosen; i++) compare_with_all_cuts(&chosen[i]);
}

/* Few different values make many ties. */
static void random_costs_agree_with_all_cuts(void **state)
{
    (void)state;
    uint32_t number = 1;
    for (int repeat = 0; repeat < 2000; repeat++) {
        const uint32_t values = repeat % 2 == 0 ? 4 : 1000;
        Costs costs;
        double *all[MOST_LAYERS + 2] = {&costs.first, &costs.last};
        for (int l = 0; l < MOST_LAYERS; l++) all[2 + l] = &costs.layers[l];
        for (int i = 0; i < MOST_LAYERS + 2; i++) {
            number = number * 1664525U + 1013904223U;
            *all[i] = (double)((number >> 16) % values) / 8;
        }
        compare_with_all_cuts(&costs);
    }
}

static void assert_counts(const Range *ranges, const int *expected, int stages)
{
    int first = 0;
    for (int stage = 0; stage < stages; stage++) {
        assert_int_equal(ranges[stage].first, first);
        assert_int_equal(ranges[stage].count, expected[stage]);
        first += expected[stage];
    }
}

static void known_balances(void **state)
{
    (void)state;
    const double equal[12] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    Range ranges[12];
    balance_layers(equal, 5, 0, 0, 3, ranges);
    assert_counts(ranges, (const int[]){1, 2, 2}, 3);
    balance_layers(equal, 12, 0, 0, 5, ranges);
    assert_counts(ranges, (const int[]){2, 2, 2, 3, 3}, 5);
    balance_layers(equal, 12, 0, 2, 2, ranges); /* 7 and 5 + 2 */
    assert_counts(ranges, (const int[]){7, 5}, 2);
    balance_layers(equal, 8, 0, 10, 3, ranges); /* the output layer is the slowest in any case */
    assert_counts(ranges, (const int[]){3, 4, 1}, 3);
    balance_layers(equal, 12, 5, 5, 1, ranges);
    assert_counts(ranges, (const int[]){12}, 1);
}

static void the_most_layers_are_balanced_on_any_number_of_stages(void **state)
{
    (void)state;
    static double equal[BALANCE_MOST_LAYERS];
    static Range ranges[BALANCE_MOST_LAYERS];
    for (int l = 0; l < BALANCE_MOST_LAYERS; l++) equal[l] = 3;
    const int stages[] = {1, 2, 7, 64, 129, 255, 256};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) {
        balance_layers(equal, BALANCE_MOST_LAYERS, 0, 0, stages[i], ranges);
        int64_t next = 0;
        for (int stage = 0; stage < stages[i]; stage++) {
            /* Equal layers: as partition_range, the shorter ones first. */
            Range mirrored = partition_range(BALANCE_MOST_LAYERS, stages[i], stages[i] - 1 - stage);
            assert_int_equal(ranges[stage].first, next);
            assert_int_equal(ranges[stage].count, mirrored.count);
            next += ranges[stage].count;
        }
    }
}

/* --- balance_from_list ----------------------------------------------------------------------- */

static void a_list_is_taken_as_it_is(void **state)
{
    (void)state;
    Range ranges[3];
    const int counts[] = {1, 6, 2};
    assert_int_equal(balance_from_list(counts, 3, 9, 3, ranges), PAL_OK);
    assert_counts(ranges, counts, 3);
    assert_int_equal(balance_from_list((const int[]){9}, 1, 9, 1, ranges), PAL_OK);
    assert_counts(ranges, (const int[]){9}, 1);
}

/* Refused lists for 9 layers on 3 stages, and two pieces of the message. */
static const struct {
    int counts[4], num_counts;
    const char *piece, *other;
} refused[] = {
    {{4, 5}, 2, "has 2 entries, expected 3", "parallel.pipeline"},
    {{1, 2, 3, 3}, 4, "has 4 entries, expected 3", "leave the key out"},
    {{4, 0, 5}, 3, "gives 0 layers to stage 1", "expected 1 at least"},
    {{-1, 5, 5}, 3, "gives -1 layers to stage 0", "fewer stages"},
    {{3, 3, 2}, 3, "the sum 8, expected model.layers = 9", "by 1,"},
    {{3, 3, 4}, 3, "the sum 10, expected model.layers = 9", "by -1,"},
    {{INT32_MAX, INT32_MAX, 11}, 3, "the sum 4294967305", "model.layers = 9"},
};

static void a_wrong_list_is_refused_with_its_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Range ranges[3], before[3];
        memset(ranges, 7, sizeof ranges);
        memcpy(before, ranges, sizeof ranges);
        status_set_message("");
        Status status = balance_from_list(refused[i].counts, refused[i].num_counts, 9, 3, ranges);
        const char *message = status_message();
        if (status != PAL_ERROR_CONFIG || strstr(message, "parallel.layers_per_stage") == NULL ||
            strstr(message, refused[i].piece) == NULL || strstr(message, refused[i].other) == NULL)
            fail_msg("case %zu: status %d, '%s', expected '%s' and '%s'", i, (int)status, message,
                     refused[i].piece, refused[i].other);
        assert_memory_equal(ranges, before, sizeof ranges);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_costs_agree_with_all_cuts),
        cmocka_unit_test(random_costs_agree_with_all_cuts),
        cmocka_unit_test(known_balances),
        cmocka_unit_test(the_most_layers_are_balanced_on_any_number_of_stages),
        cmocka_unit_test(a_list_is_taken_as_it_is),
        cmocka_unit_test(a_wrong_list_is_refused_with_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
