/* SPDX-License-Identifier: Apache-2.0
 *
 * What ranks begin to do together and wait for later; part of collectives.h, whose rules hold here.
 *
 * Where the numbers are a device's that MPI does not share memory with (staging.h), a transfer that
 * is begun waits for the device in a queue, and is handed over to MPI before this rank waits for
 * anything, or when group_hand_over() says so. The queue is one for all groups and keeps the order:
 * in a group all ranks begin the same collectives in the same order, whenever each of them hands
 * them over. Waiting for the device is waiting for nobody else, so no rank can be in another's way.
 */
#ifndef PAL_MPI_TRANSFERS_H
#define PAL_MPI_TRANSFERS_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "mpi/grid.h"
#include "src/tensor/arena.h"
#include "src/tensor/dims.h"

typedef enum TransferCall {
    TRANSFER_ALL_GATHER,
    TRANSFER_REDUCE_SCATTER,
    TRANSFER_SEND,
    TRANSFER_RECEIVE
} TransferCall;

/* A transfer under way; its numbers stay untouched until group_wait. {0}: none. */
typedef struct Transfer Transfer;
struct Transfer {
    const Group *group;
    TrafficKind kind;
    MPI_Request request;
    bool active;

    TransferCall call;
    const Real *from; /* borrowed, like the rest of what was asked for */
    Real *to;
    int64_t sent, received; /* numbers of this rank */
    const int *counts, *firsts;
    int peer;

    /* Of a device that is apart from MPI. */
    Real *room; /* (numbers_of_room) host memory, the arena's: what is sent, then what arrives */
    int64_t numbers_of_room;
    int64_t ready;    /* mark: from then on MPI may read and write */
    int64_t uploaded; /* mark: from then on what has arrived may be written over */
    Transfer *next;   /* in the queue */
};

/* Local. Room for a collective, or a message, whose numbers sent and received by this rank are so
 * many at most together; for every transfer before its first use. Takes nothing where none is
 * needed. */
void group_reserve(const Group *group, Arena *arena, Transfer *transfer, int64_t numbers);
void group_reserve_message(const Group *group, Arena *arena, Transfer *transfer, int64_t numbers);
/* Local. Whether this group's collectives need room. */
bool group_needs_room(const Group *group);

/* all: the parts of all ranks one after the other, counts[r] numbers from rank r at firsts[r]; mine
 * may be its own place in all. */
void group_all_gather_begin(const Group *group, TrafficKind kind, Transfer *transfer, Real *all,
                            const Real *mine, const int *counts, const int *firsts);
void group_reduce_scatter_begin(const Group *group, TrafficKind kind, Transfer *transfer,
                                Real *mine, const Real *all, const int *counts);

/* Local for the two ranks; the other one calls the counterpart with the same count. */
void group_send_begin(const Group *group, TrafficKind kind, Transfer *transfer, const Real *values,
                      int64_t count, int to);
void group_receive_begin(const Group *group, TrafficKind kind, Transfer *transfer, Real *values,
                         int64_t count, int from);

/* Local. Accepts a transfer that is not under way. */
void group_wait(Transfer *transfer);
/* Local. Lets the MPI library go on with what is under way: it works only inside its own calls. */
void group_progress(Transfer *transfer);
/* Local. Hands over to MPI what was begun in any group, and may wait for the device to have come so
 * far; best when the device has been given other work since. */
void group_hand_over(const Group *group);

#endif
