/* SPDX-License-Identifier: Apache-2.0
 *
 * What ranks do together. Every function is collective over its group, makes no MPI call in a group
 * of one, and gives every rank the same bits.
 */
#ifndef PAL_MPI_COLLECTIVES_H
#define PAL_MPI_COLLECTIVES_H

#include <stddef.h>
#include <stdint.h>

#include "mpi/grid.h"
#include "src/base/status.h"
#include "src/tensor/dims.h"

/* values[i] = sum over the group of values[i], in place. Repeats on equally many ranks are
 * bit-identical. */
void group_sum(const Group *group, Real *values, int64_t count);
void group_sum_double(const Group *group, double *values, int count);
void group_max_double(const Group *group, double *values, int count);

/* bytes[i] = bitwise or over the group, in place. */
void group_or(const Group *group, unsigned char *bytes, int count);

/* Everyone gets the root's bytes. */
void group_broadcast(const Group *group, void *bytes, size_t count, int root);

void group_barrier(const Group *group);

/* No rank decides alone: when any rank brings a failure, every rank returns the failure of the
 * lowest such rank, with its message. */
Status group_agree(const Group *group, Status mine);

/* True for the rank that acts and speaks for the group. */
static inline int group_is_root(const Group *group) { return group->rank == 0; }

#endif
