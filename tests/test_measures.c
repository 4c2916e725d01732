/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of measures against plain loops: which slots make a bucket, means and deviations
 * of attention, frequency buckets, and what a collector adds up, which must be every token once.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/random.h"
#include "src/run/attention_buckets.h"
#include "src/run/collector.h"
#include "src/tensor/device.h"

/* --- attention --------------------------------------------------------------------------------- */

/* Slot by slot: a bucket is left when it has its share, the longer ones first. */
static int bucket_of(int slots, int slot)
{
    int bucket = 0, left = slots;
    for (int first = 0; bucket < SEGMENT_BUCKETS; bucket++) {
        int parts = SEGMENT_BUCKETS - bucket, share = (left + parts - 1) / parts;
        if (slot < first + share) return bucket;
        first += share;
        left -= share;
    }
    return -1;
}

static void every_slot_is_in_one_of_six_buckets(void **state)
{
    (void)state;
    for (int slots = 0; slots <= 40; slots++) {
        Real weights[40];
        double buckets[SEGMENT_BUCKETS], expected[SEGMENT_BUCKETS] = {0};
        for (int i = 0; i < SEGMENT_BUCKETS; i++) expected[i] = buckets[i] = 100.0 * i;
        for (int s = 0; s < slots; s++) {
            weights[s] = (Real)(1.0 + s);
            expected[bucket_of(slots, s)] += 1.0 + s;
        }
        attention_buckets_add(buckets, weights, slots);
        for (int i = 0; i < SEGMENT_BUCKETS; i++)
            assert_float_equal(buckets[i], expected[i], 0.0); /* whole numbers */
        int64_t counted = 0;
        for (int i = 0; i < SEGMENT_BUCKETS; i++) counted += attention_bucket_slots(slots, i).count;
        assert_int_equal(counted, slots);
    }
}

/* In two passes, with long doubles. */
static void mean_and_deviation_are_those_of_the_samples(void **state)
{
    (void)state;
    enum { SAMPLES = 500 };
    static double values[SAMPLES][ATTENTION_BUCKETS], queries[SAMPLES];
    RandomStream stream = random_stream(1, "test/attention");
    AttentionSums sums = {0};
    for (int s = 0; s < SAMPLES; s++) {
        queries[s] = 1.0 + floor(64.0 * random_uniform(stream, (uint64_t)(1000000 + s)));
        for (int i = 0; i < ATTENTION_BUCKETS; i++) {
            double drawn = random_uniform(stream, (uint64_t)(s * ATTENTION_BUCKETS + i));
            values[s][i] = i == 0 ? 0.25 : drawn / ATTENTION_BUCKETS; /* the first never changes */
        }
        attention_sums_add(&sums, values[s], queries[s]);
    }
    assert_float_equal(sums.samples, SAMPLES, 0.0);
    for (int i = 0; i < ATTENTION_BUCKETS; i++) {
        long double all = 0.0L, sum = 0.0L, squares = 0.0L;
        for (int s = 0; s < SAMPLES; s++) all += queries[s];
        for (int s = 0; s < SAMPLES; s++) sum += (long double)queries[s] * values[s][i];
        for (int s = 0; s < SAMPLES; s++) {
            long double off = values[s][i] - sum / all;
            squares += queries[s] * off * off;
        }
        assert_float_equal(attention_sums_mean(&sums, i), (double)(sum / all), 1e-14);
        /* Of two numbers that are about equal; their difference is rounded at 1e-16. */
        assert_float_equal(attention_sums_deviation(&sums, i), (double)sqrtl(squares / all), 1e-8);
    }
}

/* --- frequency --------------------------------------------------------------------------------- */

static void frequency_buckets_end_where_the_table_says(void **state)
{
    (void)state;
    const struct {
        int64_t count;
        int bucket;
    } cases[] = {{0, 3},    {1, 3},    {99, 3},    {100, 2},   {999, 2},
                 {1000, 1}, {9999, 1}, {10000, 1}, {10001, 0}, {INT64_MAX, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(frequency_bucket(cases[i].count), cases[i].bucket);
}

/* --- collector --------------------------------------------------------------------------------- */

enum { TOKENS = 7, WINDOW = 3 };

/* Documents of 5 and 2 tokens; two rows, three windows. */
static int64_t offsets[] = {0, 5, 7};
static char first_name[] = "first", second_name[] = "second";
static char *names[] = {first_name, second_name};

typedef struct Reading {
    Device *device;
    Arena *arena;
    Collector collector;
    Frequency frequency;
    DataSplit split;
} Reading;

static void begin_reading(Reading *r)
{
    static unsigned char bucket_of_token[4];
    const int64_t counts[] = {20000, 500, 0, 0};
    *r = (Reading){.split = {.documents = 2, .tokens = TOKENS, .offsets = offsets, .names = names}};
    r->frequency.bucket_of = bucket_of_token;
    frequency_sort(&r->frequency, counts, 4);
    assert_int_equal(device_create_cpu(&r->device, 1), PAL_OK);
    assert_int_equal(arena_create(&r->arena, r->device), PAL_OK);
    collector_create(&r->collector, r->arena, &r->split, 2 * WINDOW);
    r->collector.frequency = &r->frequency;
    assert_int_equal(arena_seal(r->arena), PAL_OK);
    assert_int_equal(collector_begin(&r->collector, true), PAL_OK);
}

static void end_reading(Reading *r)
{
    collector_forget(&r->collector);
    arena_destroy(&r->arena);
    device_destroy(&r->device);
}

/* A window of both rows, which begin at these offsets of the first and the second document; the
 * loss of token t of document d is 10 d + t, and token 0 of both is the frequent one. */
static void read_window(Reading *r, const int64_t *at, const int *counted)
{
    int32_t targets[2 * WINDOW];
    RowWindow rows[3] = {{0}}; /* row 0 is another rank's */
    Window window = {
        .rows = 2, .length = WINDOW, .targets = targets, .counted = counted, .first_row = 1};
    for (int b = 0; b < 2; b++) {
        rows[1 + b] = (RowWindow){.document = b, .offset = at[b], .count = counted[b]};
        for (int t = 0; t < WINDOW; t++) {
            targets[b * WINDOW + t] = t >= counted[b] ? -1 : at[b] + t == 0 ? 0 : 1 + b;
            r->collector.window_nats[b * WINDOW + t] = (Real)(10.0 * b + (double)(at[b] + t));
        }
    }
    collector_add(&r->collector, &window, rows);
}

static const Group alone = {.name = "world", .size = 1};

static void all_tokens_are_added_up(void **state)
{
    (void)state;
    Reading r;
    begin_reading(&r);
    read_window(&r, (const int64_t[]){0, 0}, (const int[]){3, 2});
    read_window(&r, (const int64_t[]){3, 0}, (const int[]){2, 0});
    assert_int_equal(collector_end(&r.collector, &alone, NULL), PAL_OK);
    assert_float_equal(r.collector.nats[0], 0 + 1 + 2 + 3 + 4, 0.0);
    assert_float_equal(r.collector.nats[1], 10 + 11, 0.0);
    for (int t = 0; t < 5; t++) assert_float_equal(r.collector.token_nats[0][t], t, 0.0);
    const double tokens[] = {2, 0, 4, 1}, nats[] = {0 + 10, 0, 1 + 2 + 3 + 4, 11};
    const int64_t types[] = {1, 0, 1, 2};
    for (int b = 0; b < FREQUENCY_BUCKETS; b++) {
        assert_float_equal(r.frequency.tokens[b], tokens[b], 0.0);
        assert_float_equal(r.frequency.nats[b], nats[b], 0.0);
        assert_int_equal(r.frequency.types[b], types[b]);
    }
    end_reading(&r);
}

/* The second window is read twice, or not at all. */
static void a_token_that_is_not_counted_once_is_an_internal_error(void **state)
{
    (void)state;
    for (int times = 0; times <= 2; times += 2) {
        Reading r;
        begin_reading(&r);
        read_window(&r, (const int64_t[]){0, 0}, (const int[]){3, 2});
        for (int i = 0; i < times; i++)
            read_window(&r, (const int64_t[]){3, 0}, (const int[]){2, 0});
        assert_int_equal(collector_end(&r.collector, &alone, NULL), PAL_ERROR_INTERNAL);
        const char *expected = times == 0 ? "'first': 3 of its tokens were counted, expected each "
                                            "of its 5 once"
                                          : "'first': 7 of its tokens were counted";
        assert_non_null(strstr(status_message(), expected));
        end_reading(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slot_is_in_one_of_six_buckets),
        cmocka_unit_test(mean_and_deviation_are_those_of_the_samples),
        cmocka_unit_test(frequency_buckets_end_where_the_table_says),
        cmocka_unit_test(all_tokens_are_added_up),
        cmocka_unit_test(a_token_that_is_not_counted_once_is_an_internal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
