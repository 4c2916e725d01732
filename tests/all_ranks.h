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

static Grid grid;

/* For cmocka_run_group_tests: all ranks of MPI in the flat grid `grid`. */
static inline int start_ranks(void **state)
{
    (void)state;
    mpi_start(NULL, NULL);
    grid_create_flat(&grid);
    return 0;
}

static inline int stop_ranks(void **state)
{
    (void)state;
    grid_destroy(&grid);
    mpi_stop();
    return 0;
}

/* The verdict does not go through the functions that are tested. */
static inline bool on_all_ranks(bool good)
{
    int all = good;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_LAND, grid.world.comm));
    return all != 0;
}

#define assert_on_all_ranks(condition)                                                  \
    do {                                                                                \
        bool holds_here = (condition);                                                  \
        if (!holds_here) fprintf(stderr, "rank %d: %s\n", grid.world.rank, #condition); \
        assert_true(on_all_ranks(holds_here));                                          \
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
