/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/collectives.h"

#include <stdio.h>
#include <string.h>

#include "mpi/check.h"

/* MPI counts are ints: long buffers go in pieces. */
enum { PIECE = 1 << 28 };

#ifdef PAL_DOUBLE
#define PAL_MPI_REAL MPI_DOUBLE
#else
#define PAL_MPI_REAL MPI_FLOAT
#endif

void group_sum(const Group *group, Real *values, int64_t count)
{
    if (group->size == 1) return;
    for (int64_t done = 0; done < count; done += PIECE) {
        int piece = count - done < PIECE ? (int)(count - done) : PIECE;
        PAL_MPI(
            MPI_Allreduce(MPI_IN_PLACE, values + done, piece, PAL_MPI_REAL, MPI_SUM, group->comm));
    }
}

static void reduce_double(const Group *group, double *values, int count, MPI_Op op)
{
    if (group->size == 1) return;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, op, group->comm));
}

void group_sum_double(const Group *group, double *values, int count)
{
    reduce_double(group, values, count, MPI_SUM);
}

void group_max_double(const Group *group, double *values, int count)
{
    reduce_double(group, values, count, MPI_MAX);
}

void group_or(const Group *group, unsigned char *bytes, int count)
{
    if (group->size == 1) return;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, bytes, count, MPI_BYTE, MPI_BOR, group->comm));
}

void group_broadcast(const Group *group, void *bytes, size_t count, int root)
{
    if (group->size == 1) return;
    char *at = bytes;
    while (count > 0) {
        size_t piece = count < PIECE ? count : PIECE;
        PAL_MPI(MPI_Bcast(at, (int)piece, MPI_BYTE, root, group->comm));
        at += piece;
        count -= piece;
    }
}

void group_barrier(const Group *group)
{
    if (group->size > 1) PAL_MPI(MPI_Barrier(group->comm));
}

Status group_agree(const Group *group, Status mine)
{
    if (group->size == 1) return mine;

    int first = mine == PAL_OK ? group->size : group->rank;
    PAL_MPI(MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, group->comm));
    if (first == group->size) return PAL_OK;

    struct {
        int status;
        char message[2048];
    } verdict = {0};
    if (group->rank == first) {
        verdict.status = (int)mine;
        snprintf(verdict.message, sizeof verdict.message, "%s", status_message());
    }
    group_broadcast(group, &verdict, sizeof verdict, first);
    status_set_message(verdict.message);
    return (Status)verdict.status;
}
