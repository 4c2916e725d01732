/* SPDX-License-Identifier: Apache-2.0
 *
 * For tests that run on several ranks. A failed cmocka assertion leaves one rank alone and the
 * others wait; so every check ends with a verdict that all ranks share.
 */
#ifndef PAL_TESTS_ALL_RANKS_H
#define PAL_TESTS_ALL_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/check.h"
#include "mpi/grid.h"

/* The verdict does not go through the functions that are tested. */
static inline bool on_all_ranks(const Grid *grid, bool good)
{
    int all = good;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, grid->world.comm));
    return all != 0;
}

/* Of the Grid `grid`. */
#define assert_on_all_ranks(condition)                                                  \
    do {                                                                                \
        bool holds_here = (condition);                                                  \
        if (!holds_here) fprintf(stderr, "rank %d: %s\n", grid.world.rank, #condition); \
        assert_true(on_all_ranks(&grid, holds_here));                                   \
    } while (0)

static inline bool same_bytes(const void *a, const void *b, size_t count)
{
    return count == 0 || memcmp(a, b, count) == 0;
}

/* True when this rank holds the same bytes as rank 0 of the group. */
static inline bool same_everywhere(const Group *group, const void *bytes, size_t count)
{
    char *root = malloc(count + 1);
    if (root == NULL) abort();
    memcpy(root, bytes, count);
    PAL_MPI(MPI_Bcast(root, (int)count, MPI_BYTE, 0, group->comm));
    bool same = same_bytes(root, bytes, count);
    free(root);
    return same;
}

#endif
