/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/staged.h"

#include "mpi/counted.h"
#include "mpi/staging.h"
#include "src/base/checked.h"

static void download(Device *device, Real *to, const Real *from, int64_t count)
{
    device->op->download_begin(device, to, tensor_1d((Real *)(uintptr_t)from, count));
}

static void upload(Device *device, Real *to, const Real *from, int64_t count)
{
    device->op->upload_begin(device, tensor_1d(to, count), from);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void run(const Group *group, const PieceWork *work, const void *context)
{
    group_hand_over(group);
    staging_run(group->staging, work, context);
}

/* --- sums ------------------------------------------------------------------------------------- */

typedef struct Sum {
    const Group *group;
    TrafficKind kind;
    Real *values;
    int64_t count;
} Sum;

static int64_t piece_of_sum(const Sum *sum, int64_t piece)
{
    return smaller(STAGING_NUMBERS, sum->count - piece * STAGING_NUMBERS);
}

static void download_sum(const void *context, Device *device, int64_t piece, Real *to)
{
    const Sum *sum = context;
    download(device, to, sum->values + piece * STAGING_NUMBERS, piece_of_sum(sum, piece));
}

static void move_sum(const void *context, int64_t piece, Real *receive, Real *send)
{
    const Sum *sum = context;
    const Group *group = sum->group;
    int count = checked_int(piece_of_sum(sum, piece));
    PAL_COUNTED(group, sum->kind, all_reduce_bytes(group, real_bytes(count)),
                MPI_Allreduce(send, receive, count, PAL_MPI_REAL, MPI_SUM, group->comm));
}

static void upload_sum(const void *context, Device *device, int64_t piece, const Real *from)
{
    const Sum *sum = context;
    upload(device, sum->values + piece * STAGING_NUMBERS, from, piece_of_sum(sum, piece));
}

void staged_sum(const Group *group, TrafficKind kind, Real *values, int64_t count)
{
    const Sum sum = {group, kind, values, count};
    const PieceWork work = {(count + STAGING_NUMBERS - 1) / STAGING_NUMBERS, download_sum, move_sum,
                            upload_sum};
    run(group, &work, &sum);
}

/* --- gathers ---------------------------------------------------------------------------------- */

/* Of every rank's numbers the same stretch is one piece. */
typedef struct Gather {
    const Group *group;
    TrafficKind kind;
    Real *all;
    const Real *mine;
    int64_t count, longest; /* of a stretch */
} Gather;

static int64_t stretch(const Gather *gather, int64_t piece)
{
    return smaller(gather->longest, gather->count - piece * gather->longest);
}

static void download_gather(const void *context, Device *device, int64_t piece, Real *to)
{
    const Gather *gather = context;
    download(device, to, gather->mine + piece * gather->longest, stretch(gather, piece));
}

static void move_gather(const void *context, int64_t piece, Real *receive, Real *send)
{
    const Gather *gather = context;
    const Group *group = gather->group;
    int count = checked_int(stretch(gather, piece));
    PAL_COUNTED(
        group, gather->kind, (group->size - 1) * real_bytes(count),
        MPI_Allgather(send, count, PAL_MPI_REAL, receive, count, PAL_MPI_REAL, group->comm));
}

static void upload_gather(const void *context, Device *device, int64_t piece, const Real *from)
{
    const Gather *gather = context;
    int64_t count = stretch(gather, piece);
    if (count == gather->count) {
        upload(device, gather->all, from, gather->group->size * count);
        return;
    }
    for (int r = 0; r < gather->group->size; r++)
        upload(device, gather->all + r * gather->count + piece * gather->longest, from + r * count,
               count);
}

void staged_all_gather(const Group *group, TrafficKind kind, Real *all, const Real *mine,
                       int64_t count)
{
    const Gather gather = {group, kind, all, mine, count, STAGING_NUMBERS / group->size};
    const PieceWork work = {(count + gather.longest - 1) / gather.longest, download_gather,
                            move_gather, upload_gather};
    run(group, &work, &gather);
}

/* --- exchanges between pairs ------------------------------------------------------------------ */

enum { STAGED_MOST_OTHERS = 512 };

/* A piece is, for each pair, some whole blocks, or a part of one that is too long. */
typedef struct Exchange {
    const Group *group;
    TrafficKind kind;
    RankBlocks receive, send;
    int64_t blocks, length;
    int64_t together; /* blocks in a piece */
    int64_t longest;  /* numbers of a block in a piece */
    int64_t cuts;     /* pieces of a block */
} Exchange;

/* Blocks [first, first + blocks), of each the numbers [begin, begin + length). */
typedef struct ExchangePiece {
    int64_t first, blocks, begin, length;
} ExchangePiece;

static ExchangePiece exchange_piece(const Exchange *x, int64_t piece)
{
    ExchangePiece part = {.first = piece / x->cuts * x->together,
                          .begin = piece % x->cuts * x->longest};
    part.blocks = smaller(x->together, x->blocks - part.first);
    part.length = smaller(x->longest, x->length - part.begin);
    return part;
}

/* Of those to (from) one rank, as stretches that lie together: one if the blocks do. */
static int64_t stretches(const RankBlocks *blocks, ExchangePiece *part)
{
    if (blocks->block_stride != part->length) return part->blocks;
    part->length *= part->blocks;
    return 1;
}

static Real *place_of(const RankBlocks *blocks, const ExchangePiece *part, int rank, int64_t number)
{
    return blocks->start + rank * blocks->rank_stride +
           (part->first + number) * blocks->block_stride + part->begin;
}

/* The other rank that comes i-th, 0 <= i < others; its numbers are the i-th in host memory. */
static int receiver(const Group *group, int i) { return (group->rank + 1 + i) % group->size; }
static int sender(const Group *group, int i)
{
    return (group->rank + group->size - 1 - i) % group->size;
}

/* What all get alike comes once. */
static int different_parts(const Exchange *x)
{
    return x->send.rank_stride == 0 ? 1 : x->group->size - 1;
}

static void download_exchange(const void *context, Device *device, int64_t piece, Real *to)
{
    const Exchange *x = context;
    for (int i = 0; i < different_parts(x); i++) {
        ExchangePiece part = exchange_piece(x, piece);
        int64_t count = stretches(&x->send, &part);
        for (int64_t n = 0; n < count; n++, to += part.length)
            download(device, to, place_of(&x->send, &part, receiver(x->group, i), n), part.length);
    }
}

static void move_exchange(const void *context, int64_t piece, Real *receive, Real *send)
{
    const Exchange *x = context;
    const Group *group = x->group;
    ExchangePiece part = exchange_piece(x, piece);
    int others = group->size - 1, count = checked_int(part.blocks * part.length);
    int step = different_parts(x) == 1 ? 0 : count;
    MPI_Request requests[2 * STAGED_MOST_OTHERS];
    for (int i = 0; i < others; i++)
        PAL_MPI(MPI_Irecv(receive + (int64_t)i * count, count, PAL_MPI_REAL, sender(group, i), 0,
                          group->comm, &requests[i]));
    for (int i = 0; i < others; i++)
        PAL_MPI(MPI_Isend(send + (int64_t)i * step, count, PAL_MPI_REAL, receiver(group, i), 0,
                          group->comm, &requests[others + i]));
    PAL_COUNTED(group, x->kind, others * real_bytes(count),
                MPI_Waitall(2 * others, requests, MPI_STATUSES_IGNORE));
}

static void upload_exchange(const void *context, Device *device, int64_t piece, const Real *from)
{
    const Exchange *x = context;
    for (int i = 0; i < x->group->size - 1; i++) {
        ExchangePiece part = exchange_piece(x, piece);
        int64_t count = stretches(&x->receive, &part);
        for (int64_t n = 0; n < count; n++, from += part.length)
            upload(device, place_of(&x->receive, &part, sender(x->group, i), n), from, part.length);
    }
}

void staged_exchange(const Group *group, TrafficKind kind, RankBlocks receive, RankBlocks send,
                     int blocks, int64_t length)
{
    if (length == 0 || blocks == 0) return;
    PAL_ASSERT(group->size - 1 <= STAGED_MOST_OTHERS);
    int64_t most = STAGING_NUMBERS / (group->size - 1); /* of a pair in a piece */
    Exchange x = {group, kind, receive, send, blocks, length, 1, length, 1};
    if (length <= most) {
        x.together = smaller(most / length, blocks);
    } else {
        x.longest = most;
        x.cuts = (length + most - 1) / most;
    }
    const PieceWork work = {(blocks + x.together - 1) / x.together * x.cuts, download_exchange,
                            move_exchange, upload_exchange};
    run(group, &work, &x);
}
