/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/transfers.h"

#include "mpi/counted.h"
#include "mpi/staging.h"
#include "src/base/checked.h"

/* Not for reading only: copies of a device take tensors, whose numbers may be written. */
static Tensor numbers_at(const Real *start, int64_t count)
{
    return tensor_1d((Real *)(uintptr_t)start, count);
}

/* --- room in host memory ---------------------------------------------------------------------- */

bool group_needs_room(const Group *group) { return group->staging != NULL && group->size > 1; }

void group_reserve(const Group *group, Arena *arena, Transfer *transfer, int64_t numbers)
{
    if (!group_needs_room(group)) return;
    transfer->room = arena_host(arena, PURPOSE_EXCHANGE, checked_size(numbers) * sizeof(Real));
    transfer->numbers_of_room = numbers;
}

void group_reserve_message(const Group *group, Arena *arena, Transfer *transfer, int64_t numbers)
{
    if (group_needs_room(group) && !group->staging->direct)
        group_reserve(group, arena, transfer, numbers);
}

/* Collectives that are begun for later always do (staging.h). */
static bool goes_through_host(const Transfer *t)
{
    const Staging *staging = t->group->staging;
    if (staging == NULL) return false;
    bool message = t->call == TRANSFER_SEND || t->call == TRANSFER_RECEIVE;
    return !(staging->direct && message);
}

static Real *arrivals(const Transfer *t) { return t->room + t->sent; }

/* --- to MPI ----------------------------------------------------------------------------------- */

static void ask_mpi(Transfer *t)
{
    bool host = goes_through_host(t);
    const Real *from = host ? t->room : t->from;
    Real *to = host ? arrivals(t) : t->to;
    int sent = checked_int(t->sent), received = checked_int(t->received);
    MPI_Comm comm = t->group->comm;
    switch (t->call) {
    case TRANSFER_ALL_GATHER:
        PAL_MPI(MPI_Iallgatherv(from == to + t->firsts[t->group->rank] ? MPI_IN_PLACE : from, sent,
                                PAL_MPI_REAL, to, t->counts, t->firsts, PAL_MPI_REAL, comm,
                                &t->request));
        return;
    case TRANSFER_REDUCE_SCATTER:
        PAL_MPI(MPI_Ireduce_scatter(from, to, t->counts, PAL_MPI_REAL, MPI_SUM, comm, &t->request));
        return;
    case TRANSFER_SEND:
        PAL_MPI(MPI_Isend(from, sent, PAL_MPI_REAL, t->peer, 0, comm, &t->request));
        return;
    case TRANSFER_RECEIVE:
        PAL_MPI(MPI_Irecv(to, received, PAL_MPI_REAL, t->peer, 0, comm, &t->request));
        return;
    }
}

void group_hand_over(const Group *group)
{
    Staging *staging = group->staging;
    if (staging == NULL) return;
    for (Transfer *t = staging->first; t != NULL; t = t->next) {
        staging_wait(staging, t->ready);
        ask_mpi(t);
    }
    staging->first = staging->last = NULL;
}

static void queue(Staging *staging, Transfer *t)
{
    t->next = NULL;
    if (staging->first == NULL)
        staging->first = t;
    else
        staging->last->next = t;
    staging->last = t;
}

/* Copies are done in the order in which they were begun, so what had arrived in the room before has
 * left it when what is sent is there. */
static void begin_download(Staging *staging, Transfer *t)
{
    if (t->sent + t->received > t->numbers_of_room)
        status_assert_failed(__FILE__, __LINE__, "room that was reserved for a transfer");
    t->ready = t->uploaded;
    if (t->sent == 0) return;
    staging->device->op->download_begin(staging->device, t->room, numbers_at(t->from, t->sent));
    t->ready = staging_mark(staging);
}

static void begin(Transfer *t, double bytes)
{
    Staging *staging = t->group->staging;
    t->active = true;
    t->group->traffic->bytes[t->kind] += bytes;
    if (staging == NULL) {
        ask_mpi(t);
        return;
    }
    if (goes_through_host(t))
        begin_download(staging, t);
    else
        t->ready = staging_mark(staging);
    queue(staging, t);
}

static void describe(Transfer *t, const Group *group, TrafficKind kind, TransferCall call)
{
    PAL_ASSERT(!t->active);
    t->group = group;
    t->kind = kind;
    t->call = call;
}

void group_all_gather_begin(const Group *group, TrafficKind kind, Transfer *transfer, Real *all,
                            const Real *mine, const int *counts, const int *firsts)
{
    if (group->size == 1) return;
    describe(transfer, group, kind, TRANSFER_ALL_GATHER);
    transfer->from = mine;
    transfer->to = all;
    transfer->sent = counts[group->rank];
    transfer->received = (int64_t)firsts[group->size - 1] + counts[group->size - 1];
    transfer->counts = counts;
    transfer->firsts = firsts;
    begin(transfer, (group->size - 1) * real_bytes(transfer->sent));
}

void group_reduce_scatter_begin(const Group *group, TrafficKind kind, Transfer *transfer,
                                Real *mine, const Real *all, const int *counts)
{
    if (group->size == 1) return;
    describe(transfer, group, kind, TRANSFER_REDUCE_SCATTER);
    transfer->from = all;
    transfer->to = mine;
    transfer->sent = 0;
    for (int r = 0; r < group->size; r++) transfer->sent += counts[r];
    transfer->received = counts[group->rank];
    transfer->counts = counts;
    begin(transfer, real_bytes(transfer->sent - transfer->received));
}

void group_send_begin(const Group *group, TrafficKind kind, Transfer *transfer, const Real *values,
                      int64_t count, int to)
{
    describe(transfer, group, kind, TRANSFER_SEND);
    transfer->from = values;
    transfer->sent = count;
    transfer->received = 0;
    transfer->peer = to;
    begin(transfer, real_bytes(count));
}

void group_receive_begin(const Group *group, TrafficKind kind, Transfer *transfer, Real *values,
                         int64_t count, int from)
{
    describe(transfer, group, kind, TRANSFER_RECEIVE);
    transfer->to = values;
    transfer->sent = 0;
    transfer->received = count;
    transfer->peer = from;
    begin(transfer, 0.0);
}

/* --- from MPI --------------------------------------------------------------------------------- */

static void end(Transfer *t)
{
    t->active = false;
    if (!goes_through_host(t) || t->received == 0) return;
    Staging *staging = t->group->staging;
    staging->device->op->upload_begin(staging->device, numbers_at(t->to, t->received), arrivals(t));
    t->uploaded = staging_mark(staging);
}

void group_wait(Transfer *transfer)
{
    if (!transfer->active) return;
    PAL_COUNTED(transfer->group, transfer->kind, 0.0,
                MPI_Wait(&transfer->request, MPI_STATUS_IGNORE));
    end(transfer);
}

void group_progress(Transfer *transfer)
{
    int done = 0;
    if (!transfer->active) return;
    group_hand_over(transfer->group);
    PAL_MPI(MPI_Test(&transfer->request, &done, MPI_STATUS_IGNORE));
    if (done) end(transfer);
}
