/* SPDX-License-Identifier: Apache-2.0
 *
 * How the optimiser's state is divided over a data group, on 1, 2, 3 and 4 ranks: who has which
 * piece of which bucket, sums that come to the owners, weights that come back to all; with numbers
 * in host memory and apart from it (apart_device.h).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mpi/buckets.h"
#include "src/base/random.h"
#include "src/tensor/device.h"
#include "tests/all_ranks.h"
#include "tests/apart_device.h"

/* --- how a buffer is cut --------------------------------------------------------------------- */

typedef struct Cut {
    int64_t total, edges[4], size;
    int alignment;
} Cut;

enum { NUM_EDGES = 4, NUM_CUTS = 7 };

/* Also fewer units than ranks, a size that nothing fits into evenly, edges upon each other, nothing
 * at all. */
static const Cut cuts[NUM_CUTS] = {
    {4096, {0, 1024, 2048, 3072}, 512, 16},
    {5008, {0, 1600, 1616, 4000}, 640, 16},
    {64, {0, 0, 16, 16}, 4096, 16},
    {16, {0, 16, 16, 16}, 16, 16},
    {37, {0, 5, 5, 30}, 7, 1},
    {1000, {0, 1000, 1000, 1000}, 1000, 8},
    {0, {0, 0, 0, 0}, 64, 16},
};

static Way way; /* that is being tested */

typedef struct Fixture {
    const Cut *cut;
    Device *device;
    Arena *arena;
    Buckets buckets;
} Fixture;

static void create(Fixture *f, const Cut *cut)
{
    f->cut = cut;
    assert_on_all_ranks(way_begin(way, &grid, &f->device, &f->arena) == PAL_OK);
    buckets_create(&f->buckets, &grid.data, f->arena, cut->total, cut->edges, NUM_EDGES, cut->size,
                   cut->alignment);
    int lanes = f->buckets.count;
    if (way != WAY_SHARED && grid.data.size > 1 && lanes > 4) lanes = 4; /* those with room */
    assert_on_all_ranks(f->buckets.num_lanes == lanes);
}

static void destroy(Fixture *f) { way_end(&grid, &f->device, &f->arena); }

static bool bucket_is_good(const Fixture *f, const Bucket *bucket)
{
    const Cut *cut = f->cut;
    int ranks = grid.data.size, rank = grid.data.rank, next = 0, most = 0, least = INT32_MAX;
    int64_t first = bucket->flat.first, end = first + bucket->flat.count;
    bool good = bucket->flat.count > 0 && bucket->flat.count <= cut->size &&
                first % cut->alignment == 0 && (end % cut->alignment == 0 || end == cut->total);
    for (int e = 0; e < NUM_EDGES; e++)
        good = good && !(first < cut->edges[e] && cut->edges[e] < end);
    for (int r = 0; r < ranks; r++) {
        int count = bucket->counts[r];
        good = good && bucket->firsts[r] == next && count >= 0;
        good = good && (bucket->firsts[r] % cut->alignment == 0 || count == 0);
        next += count;
        if (count > most) most = count;
        if (count < least) least = count;
    }
    good = good && next == bucket->flat.count && most - least <= cut->alignment;
    return good && bucket->piece.first == first + bucket->firsts[rank] &&
           bucket->piece.count == bucket->counts[rank];
}

static void buckets_and_pieces_make_the_whole(void **state)
{
    (void)state;
    for (int c = 0; c < NUM_CUTS; c++) {
        Fixture f;
        create(&f, &cuts[c]);
        bool good = true;
        int64_t next = 0, owned = 0;
        for (int i = 0; i < f.buckets.count; i++) {
            const Bucket *bucket = &f.buckets.list[i];
            good = good && bucket_is_good(&f, bucket);
            good = good && bucket->flat.first == next && bucket->owned == owned;
            next += bucket->flat.count;
            owned += bucket->piece.count;
        }
        assert_on_all_ranks(good);
        assert_on_all_ranks(next == cuts[c].total && owned == f.buckets.owned);
        double of_all = (double)owned;
        group_sum_double(&grid.data, &of_all, 1);
        assert_on_all_ranks(of_all == (double)cuts[c].total);
        assert_on_all_ranks(grid.data.size > 1 || owned == cuts[c].total);
        destroy(&f);
    }
}

/* --- what moves ------------------------------------------------------------------------------ */

static Real *reals(int64_t count)
{
    Real *list = calloc((size_t)count + 1, sizeof *list);
    if (list == NULL) abort();
    return list;
}

static double number(int rank, int64_t i)
{
    RandomStream stream = random_substream(random_stream(3, "test"), (uint64_t)rank, 0);
    return random_normal(stream, (uint64_t)i);
}

/* The whole list on the device, one number behind its end included. */
static Real *there(Fixture *f, const Real *list, int64_t count)
{
    return numbers_on(f->device, f->arena, list, count + 1);
}

/* As backward does: what lies highest is final first. */
static void reduce_in_two(Fixture *f, Real *flat, Real *owned)
{
    int64_t middle = f->cut->edges[1];
    Real *flat_there = there(f, flat, f->cut->total), *own = there(f, owned, f->buckets.owned);
    buckets_reduce_begin(&f->buckets, flat_there, own, middle, f->cut->total);
    buckets_reduce_begin(&f->buckets, flat_there, own, 0, middle);
    buckets_wait(&f->buckets);
    numbers_read(f->device, flat, flat_there, f->cut->total + 1);
    numbers_read(f->device, owned, own, f->buckets.owned + 1);
}

static bool owned_is_the_sum(const Fixture *f, const Real *owned)
{
    bool good = true;
    for (int b = 0; b < f->buckets.count; b++) {
        const Bucket *bucket = &f->buckets.list[b];
        for (int64_t i = 0; i < bucket->piece.count; i++) {
            double sum = 0.0, size = 0.0;
            for (int r = 0; r < grid.data.size; r++) {
                sum += number(r, bucket->piece.first + i);
                size += fabs(number(r, bucket->piece.first + i));
            }
            /* single precision, a few additions */
            good = good && fabs((double)owned[bucket->owned + i] - sum) <= 1e-6 * size;
        }
    }
    return good && owned[f->buckets.owned] == 0;
}

static void owners_receive_the_sums_of_all_ranks(void **state)
{
    (void)state;
    for (int c = 0; c < NUM_CUTS; c++) {
        Fixture f;
        create(&f, &cuts[c]);
        size_t bytes = (size_t)f.buckets.owned * sizeof(Real);
        Real *flat = reals(cuts[c].total), *owned = reals(f.buckets.owned);
        Real *again = reals(f.buckets.owned);
        for (int64_t i = 0; i < cuts[c].total; i++) flat[i] = (Real)number(grid.data.rank, i);

        Traffic before = grid.traffic;
        reduce_in_two(&f, flat, owned);
        Traffic sent = traffic_difference(&grid.traffic, &before);
        if (grid.data.size == 1) { /* its buffer has the sums already */
            for (int64_t i = 0; i <= f.buckets.owned; i++) assert_true(owned[i] == 0);
        } else {
            double others = (double)(cuts[c].total - f.buckets.owned) * sizeof(Real);
            assert_on_all_ranks(owned_is_the_sum(&f, owned));
            assert_on_all_ranks(sent.bytes[TRAFFIC_GRADIENTS] == others &&
                                traffic_bytes(&sent) == others);
        }
        for (int round = 0; round < 2; round++) {
            reduce_in_two(&f, flat, again);
            assert_on_all_ranks(same_bytes(owned, again, bytes));
        }
        bool kept = true;
        for (int64_t i = 0; i < cuts[c].total; i++)
            kept = kept && flat[i] == (Real)number(grid.data.rank, i);
        assert_on_all_ranks(kept);
        free(flat), free(owned), free(again);
        destroy(&f);
    }
}

/* What one bucket has is not touched by the sums of the others. */
static void only_the_range_that_is_final_is_summed(void **state)
{
    (void)state;
    const Cut *cut = &cuts[0];
    Fixture f;
    create(&f, cut);
    Real *flat = reals(cut->total), *owned = reals(f.buckets.owned);
    for (int64_t i = 0; i < cut->total; i++) flat[i] = 1;
    Real *own = there(&f, owned, f.buckets.owned);
    buckets_reduce_begin(&f.buckets, there(&f, flat, cut->total), own, cut->edges[1],
                         cut->edges[2]);
    buckets_wait(&f.buckets);
    numbers_read(f.device, owned, own, f.buckets.owned + 1);
    bool good = true;
    for (int b = 0; b < f.buckets.count; b++) {
        const Bucket *bucket = &f.buckets.list[b];
        bool summed = bucket->flat.first >= cut->edges[1] && bucket->flat.first < cut->edges[2];
        Real expected = summed && grid.data.size > 1 ? (Real)grid.data.size : 0;
        for (int64_t i = 0; i < bucket->piece.count; i++)
            good = good && owned[bucket->owned + i] == expected;
    }
    assert_on_all_ranks(good);
    free(flat), free(owned);
    destroy(&f);
}

static void pieces_return_to_all_ranks(void **state)
{
    (void)state;
    for (int c = 0; c < NUM_CUTS; c++) {
        Fixture f;
        create(&f, &cuts[c]);
        int64_t total = cuts[c].total;
        Real *flat = reals(total);
        for (int64_t i = 0; i < total; i++) flat[i] = (Real)NAN;
        for (int b = 0; b < f.buckets.count; b++) {
            const Bucket *bucket = &f.buckets.list[b];
            for (int64_t i = 0; i < bucket->piece.count; i++)
                flat[bucket->piece.first + i] = (Real)number(7, bucket->piece.first + i);
        }
        Traffic before = grid.traffic;
        Real *flat_there = there(&f, flat, total);
        buckets_gather_begin(&f.buckets, flat_there);
        buckets_wait(&f.buckets);
        numbers_read(f.device, flat, flat_there, total + 1);
        Traffic sent = traffic_difference(&grid.traffic, &before);
        double own = (double)f.buckets.owned * (grid.data.size - 1) * sizeof(Real);
        assert_on_all_ranks(sent.bytes[TRAFFIC_WEIGHTS] == own && traffic_bytes(&sent) == own);
        bool good = flat[total] == 0;
        for (int64_t i = 0; i < total; i++) good = good && flat[i] == (Real)number(7, i);
        assert_on_all_ranks(good);
        assert_on_all_ranks(same_everywhere(&grid.data, flat, (size_t)total * sizeof(Real)));
        free(flat);
        destroy(&f);
    }
}

/* Sums and weights in turn through the same lanes; between them the owners step by an operation of
 * the device: after three rounds a weight is three times the sum of all ranks' numbers. */
static void updates_follow_each_other(void **state)
{
    (void)state;
    for (int c = 0; c < NUM_CUTS; c++) {
        Fixture f;
        create(&f, &cuts[c]);
        int64_t total = cuts[c].total;
        Real *list = reals(total), *zeros = reals(total);
        Real *weights = there(&f, zeros, total), *gradient = there(&f, zeros, total);
        Real *own = grid.data.size == 1 ? gradient : there(&f, zeros, f.buckets.owned);
        for (int64_t i = 0; i < total; i++) list[i] = (Real)(i % 50 + grid.data.rank);
        Real *fresh = there(&f, list, total);
        for (int round = 0; round < 3; round++) {
            f.device->op->copy_blocks(f.device, tensor_1d(gradient, total), 0,
                                      tensor_1d(fresh, total), 0, 1, total);
            buckets_reduce_begin(&f.buckets, gradient, own, 0, total);
            buckets_wait(&f.buckets);
            for (int b = 0; b < f.buckets.count; b++) {
                const Bucket *bucket = &f.buckets.list[b];
                f.device->op->add(f.device,
                                  tensor_1d(weights + bucket->piece.first, bucket->piece.count),
                                  tensor_1d(own + bucket->owned, bucket->piece.count));
            }
            buckets_gather_begin(&f.buckets, weights);
            buckets_wait(&f.buckets);
        }
        numbers_read(f.device, list, weights, total);
        int ranks = grid.data.size;
        bool good = true;
        for (int64_t i = 0; i < total; i++)
            good = good && list[i] == (Real)(3 * (ranks * (i % 50) + ranks * (ranks - 1) / 2));
        assert_on_all_ranks(good);
        free(list), free(zeros);
        destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_and_pieces_make_the_whole),
        cmocka_unit_test(owners_receive_the_sums_of_all_ranks),
        cmocka_unit_test(only_the_range_that_is_final_is_summed),
        cmocka_unit_test(pieces_return_to_all_ranks),
        cmocka_unit_test(updates_follow_each_other),
    };
    int failures = start_ranks(NULL);
    for (way = WAY_SHARED; way < NUM_WAYS; way++)
        failures += cmocka_run_group_tests_name(way_names[way], tests, NULL, NULL);
    (void)stop_ranks(NULL);
    return failures;
}
