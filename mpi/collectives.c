/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/collectives.h"

#include <stdio.h>
#include <string.h>

#include "mpi/counted.h"
#include "mpi/staged.h"
#include "mpi/staging.h"
#include "src/base/checked.h"

/* MPI counts are ints: long buffers go in pieces. */
enum { PIECE = 1 << 28 };

/* Messages under way in one exchange. */
enum { MOST_REQUESTS = 1024 };

/* MPI gets the device's own addresses: first comes what the device was asked for. */
static void come_to_rest(const Group *group)
{
    group_hand_over(group);
    if (group->staging != NULL) group->staging->device->op->synchronize(group->staging->device);
}

static bool numbers_are_staged(const Group *group)
{
    return group->staging != NULL && !group->staging->direct;
}

void group_sum(const Group *group, TrafficKind kind, Real *values, int64_t count)
{
    if (group->size == 1) return;
    if (group->staging != NULL) {
        staged_sum(group, kind, values, count);
        return;
    }
    for (int64_t done = 0; done < count; done += PIECE) {
        int piece = count - done < PIECE ? (int)(count - done) : PIECE;
        PAL_COUNTED(
            group, kind, all_reduce_bytes(group, real_bytes(piece)),
            MPI_Allreduce(MPI_IN_PLACE, values + done, piece, PAL_MPI_REAL, MPI_SUM, group->comm));
    }
}

void group_all_gather(const Group *group, TrafficKind kind, Real *all, const Real *mine,
                      int64_t count)
{
    if (group->size == 1) return;
    if (numbers_are_staged(group)) {
        staged_all_gather(group, kind, all, mine, count);
        return;
    }
    come_to_rest(group);
    bool in_place = mine == all + group->rank * count;
    int n = checked_int(count);
    PAL_COUNTED(group, kind, (group->size - 1) * real_bytes(count),
                MPI_Allgather(in_place ? MPI_IN_PLACE : mine, n, PAL_MPI_REAL, all, n, PAL_MPI_REAL,
                              group->comm));
}

static Real *rank_block(RankBlocks blocks, int rank, int block)
{
    return blocks.start + rank * blocks.rank_stride + block * blocks.block_stride;
}

void group_exchange(const Group *group, TrafficKind kind, RankBlocks receive, RankBlocks send,
                    int blocks, int64_t length)
{
    int others = group->size - 1, numbers = checked_int(length);
    if (others == 0) return;
    if (numbers_are_staged(group)) {
        staged_exchange(group, kind, receive, send, blocks, length);
        return;
    }
    come_to_rest(group);
    PAL_ASSERT(2 * others <= MOST_REQUESTS);
    int at_once = MOST_REQUESTS / (2 * others);
    for (int first = 0; first < blocks; first += at_once) {
        int end = blocks - first < at_once ? blocks : first + at_once, count = 0;
        MPI_Request requests[MOST_REQUESTS];
        for (int b = first; b < end; b++)
            for (int i = 1; i <= others; i++) {
                int from = (group->rank + group->size - i) % group->size;
                PAL_MPI(MPI_Irecv(rank_block(receive, from, b), numbers, PAL_MPI_REAL, from, 0,
                                  group->comm, &requests[count++]));
            }
        for (int b = first; b < end; b++)
            for (int i = 1; i <= others; i++) {
                int to = (group->rank + i) % group->size;
                PAL_MPI(MPI_Isend(rank_block(send, to, b), numbers, PAL_MPI_REAL, to, 0,
                                  group->comm, &requests[count++]));
            }
        PAL_COUNTED(group, kind, others * real_bytes((end - first) * length),
                    MPI_Waitall(count, requests, MPI_STATUSES_IGNORE));
    }
}

static void group_reduce_double(const Group *group, double *values, int count, MPI_Op op)
{
    if (group->size == 1) return;
    PAL_COUNTED(group, TRAFFIC_SCALARS, all_reduce_bytes(group, 8.0 * count),
                MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, op, group->comm));
}

void group_sum_double(const Group *group, double *values, int count)
{
    group_reduce_double(group, values, count, MPI_SUM);
}

void group_max_double(const Group *group, double *values, int count)
{
    group_reduce_double(group, values, count, MPI_MAX);
}

double group_mean_double(const Group *group, double value)
{
    group_sum_double(group, &value, 1);
    return value / group->size;
}

void group_or(const Group *group, unsigned char *bytes, int count)
{
    if (group->size == 1) return;
    PAL_COUNTED(group, TRAFFIC_SCALARS, all_reduce_bytes(group, count),
                MPI_Allreduce(MPI_IN_PLACE, bytes, count, MPI_BYTE, MPI_BOR, group->comm));
}

void group_broadcast(const Group *group, void *bytes, size_t count, int root)
{
    if (group->size == 1) return;
    char *at = bytes;
    while (count > 0) {
        size_t piece = count < PIECE ? count : PIECE;
        PAL_COUNTED(group, TRAFFIC_SCALARS, group->rank == root ? (double)piece : 0.0,
                    MPI_Bcast(at, (int)piece, MPI_BYTE, root, group->comm));
        at += piece;
        count -= piece;
    }
}

void group_meet(const Group *group, TrafficKind kind)
{
    if (group->size > 1) PAL_COUNTED(group, kind, 0.0, MPI_Barrier(group->comm));
}

bool group_vote_ready(const Group *group, Vote *vote)
{
    int ready = 1;
    group_hand_over(group);
    if (group->size > 1 && vote->open) PAL_MPI(MPI_Test(&vote->request, &ready, MPI_STATUS_IGNORE));
    return ready != 0;
}

int group_vote_end(const Group *group, Vote *vote)
{
    if (group->size > 1 && vote->open)
        PAL_COUNTED(group, TRAFFIC_SCALARS, 0.0, MPI_Wait(&vote->request, MPI_STATUS_IGNORE));
    vote->open = false;
    return vote->most;
}

int group_vote(const Group *group, Vote *vote, int mine)
{
    int most = group_vote_end(group, vote);
    vote->most = mine;
    vote->open = true;
    if (group->size > 1) {
        group_hand_over(group);
        count_transfer(group, TRAFFIC_SCALARS, all_reduce_bytes(group, sizeof mine), 0.0);
        PAL_MPI(MPI_Iallreduce(MPI_IN_PLACE, &vote->most, 1, MPI_INT, MPI_MAX, group->comm,
                               &vote->request));
    }
    return most;
}

Status group_agree(const Group *group, Status mine)
{
    if (group->size == 1) return mine;

    int first = mine == PAL_OK ? group->size : group->rank;
    PAL_COUNTED(group, TRAFFIC_SCALARS, all_reduce_bytes(group, sizeof first),
                MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, group->comm));
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
