/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/buckets.h"

#include "src/base/checked.h"

/* With so many under way copies and messages overlap, and what is begun waits little for a lane. */
enum { LANES_WITH_ROOM = 4 };

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Where the bucket that begins at `first` ends. */
static int64_t bucket_end(int64_t first, int64_t total, const int64_t *edges, int num_edges,
                          int64_t size)
{
    int64_t end = smaller(total, first + size);
    for (int e = 0; e < num_edges; e++)
        if (edges[e] > first && edges[e] < end) end = edges[e];
    return end;
}

static int count_buckets(int64_t total, const int64_t *edges, int num_edges, int64_t size)
{
    int count = 0;
    for (int64_t first = 0; first < total; count++)
        first = bucket_end(first, total, edges, num_edges, size);
    return count;
}

/* Equal shares of whole units of `alignment`. */
static void divide(Bucket *bucket, const Group *group, Arena *arena, int alignment)
{
    size_t ranks = checked_size(group->size);
    bucket->counts = arena_host(arena, PURPOSE_DATA, ranks * sizeof(int));
    bucket->firsts = arena_host(arena, PURPOSE_DATA, ranks * sizeof(int));
    if (bucket->counts == NULL || bucket->firsts == NULL) return;
    int64_t units = (bucket->flat.count + alignment - 1) / alignment;
    for (int r = 0; r < group->size; r++) {
        Range share = partition_range(units, group->size, r);
        int64_t begin = smaller(bucket->flat.count, share.first * alignment);
        int64_t end = smaller(bucket->flat.count, (share.first + share.count) * alignment);
        bucket->firsts[r] = checked_int(begin);
        bucket->counts[r] = checked_int(end - begin);
    }
    bucket->piece =
        (Range){bucket->flat.first + bucket->firsts[group->rank], bucket->counts[group->rank]};
}

/* A bucket's numbers are all sent and the own piece received, or the other way round. */
static void make_lanes(Buckets *buckets, Arena *arena)
{
    const Group *group = buckets->group;
    int64_t most = 0;
    for (int i = 0; i < buckets->count; i++) {
        const Bucket *bucket = &buckets->list[i];
        if (bucket->flat.count + bucket->piece.count > most)
            most = bucket->flat.count + bucket->piece.count;
    }
    int lanes = buckets->count;
    if (group_needs_room(group) && lanes > LANES_WITH_ROOM) lanes = LANES_WITH_ROOM;
    buckets->lanes = arena_host(arena, PURPOSE_DATA, checked_size(lanes) * sizeof *buckets->lanes);
    if (buckets->lanes == NULL) return;
    buckets->num_lanes = lanes;
    for (int i = 0; i < lanes; i++) group_reserve(group, arena, &buckets->lanes[i], most);
}

void buckets_create(Buckets *buckets, const Group *group, Arena *arena, int64_t total,
                    const int64_t *edges, int num_edges, int64_t size, int alignment)
{
    *buckets = (Buckets){.group = group};
    int count = count_buckets(total, edges, num_edges, size);
    buckets->list = arena_host(arena, PURPOSE_DATA, checked_size(count) * sizeof *buckets->list);
    if (buckets->list == NULL) return; /* the arena says so when it is sealed */
    buckets->count = count;
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        Bucket *bucket = &buckets->list[i];
        int64_t end = bucket_end(first, total, edges, num_edges, size);
        *bucket = (Bucket){.flat = {first, end - first}, .owned = buckets->owned};
        divide(bucket, group, arena, alignment);
        buckets->owned += bucket->piece.count;
        first = end;
    }
    make_lanes(buckets, arena);
}

/* The lane of a bucket, free for it: on all ranks the same bucket is waited for. */
static Transfer *free_lane(Buckets *buckets, int bucket)
{
    Transfer *lane = &buckets->lanes[bucket % buckets->num_lanes];
    group_wait(lane);
    return lane;
}

void buckets_reduce_begin(Buckets *buckets, const Real *flat, Real *owned, int64_t first,
                          int64_t end)
{
    for (int i = buckets->num_lanes - 1; i >= 0; i--) group_progress(&buckets->lanes[i]);
    for (int i = buckets->count - 1; i >= 0; i--) {
        const Bucket *bucket = &buckets->list[i];
        if (bucket->flat.first < first || bucket->flat.first >= end) continue;
        group_reduce_scatter_begin(buckets->group, TRAFFIC_GRADIENTS, free_lane(buckets, i),
                                   owned + bucket->owned, flat + bucket->flat.first,
                                   bucket->counts);
    }
}

void buckets_gather_begin(Buckets *buckets, Real *flat)
{
    for (int i = 0; i < buckets->count; i++) {
        const Bucket *bucket = &buckets->list[i];
        group_all_gather_begin(buckets->group, TRAFFIC_WEIGHTS, free_lane(buckets, i),
                               flat + bucket->flat.first, flat + bucket->piece.first,
                               bucket->counts, bucket->firsts);
    }
}

void buckets_wait(Buckets *buckets)
{
    for (int i = 0; i < buckets->num_lanes; i++) group_wait(&buckets->lanes[i]);
}
