/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/stragglers.h"

#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/run/machine.h"

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void stragglers_create(Stragglers *s, const Grid *grid, double factor, double interval)
{
    *s = (Stragglers){.factor = factor, .interval = interval};
    if (factor <= 0.0 || grid->world.size == 1) return;
    size_t ranks = checked_size(grid->world.size);
    s->grid = grid;
    s->seconds = fatal_calloc(ranks, sizeof *s->seconds, "times of ranks");
    s->peers = fatal_calloc(ranks, sizeof *s->peers, "times of ranks");
    s->named = fatal_calloc(ranks, sizeof *s->named, "slow ranks");
    s->hosts = machine_hosts(&grid->world);
}

void stragglers_destroy(Stragglers *s)
{
    free(s->seconds);
    free(s->peers);
    free(s->named);
    free(s->hosts);
    *s = (Stragglers){0};
}

void stragglers_add(Stragglers *s, double seconds) { s->own += seconds; }

/* Of the ranks that do the same work as this one, those of its stage. The lower median, so that of
 * two the slower one can be slow. */
static double median_of_peers(const Stragglers *s, int rank)
{
    const Grid *grid = s->grid;
    const GridShape shape = {grid->data.size, grid->pipeline.size, grid->tensor.size};
    int stage = grid_place(shape, rank).pipeline, count = 0;
    for (int r = 0; r < grid->world.size; r++)
        if (grid_place(shape, r).pipeline == stage) s->peers[count++] = s->seconds[r];
    qsort(s->peers, checked_size(count), sizeof *s->peers, compare);
    return s->peers[(count - 1) / 2];
}

static void judge(Stragglers *s, int rank)
{
    double median = median_of_peers(s, rank);
    bool slow = s->seconds[rank] > s->factor * median;
    const char *host = s->hosts + (size_t)rank * PAL_HOST_SIZE;
    if (slow && !s->named[rank])
        log_warn("rank %d on %s is slow: it computed %.1f s where the median of the ranks with the "
                 "same work is %.1f s; all wait for it",
                 rank, host, s->seconds[rank], median);
    else if (!slow && s->named[rank])
        log_info("rank %d on %s is as fast as the others again", rank, host);
    s->named[rank] = slow;
}

void stragglers_look(Stragglers *s)
{
    if (s->grid == NULL) return;
    const Group *world = &s->grid->world;
    memset(s->peers, 0, checked_size(world->size) * sizeof *s->peers);
    s->peers[world->rank] = s->own;
    s->own = 0.0;
    group_sum_double(world, s->peers, world->size);
    double most = 0.0;
    for (int r = 0; r < world->size; r++) {
        s->seconds[r] += s->peers[r];
        if (s->seconds[r] > most) most = s->seconds[r];
    }
    if (most < s->interval) return;
    for (int r = 0; r < world->size; r++) judge(s, r);
    memset(s->seconds, 0, checked_size(world->size) * sizeof *s->seconds);
}
