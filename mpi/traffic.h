/* SPDX-License-Identifier: Apache-2.0
 *
 * What a rank sends and how long it waits for others, by kind. Bytes are those that the best known
 * algorithm of a group of n ranks sends per rank, whatever the MPI library does inside:
 *
 *     all-gather of b bytes per rank        (n - 1) b
 *     reduce-scatter to b bytes per rank    (n - 1) b
 *     exchange of b bytes between pairs     (n - 1) b
 *     all-reduce of b bytes                 2 (n - 1) / n  b
 *     broadcast, send of b bytes            b, by the sender
 */
#ifndef PAL_MPI_TRAFFIC_H
#define PAL_MPI_TRAFFIC_H

#define PAL_TRAFFIC_LIST(X)                                         \
    X(TRAFFIC_GRADIENTS, "gradients")     /* to the optimiser */    \
    X(TRAFFIC_WEIGHTS, "weights")         /* back from it */        \
    X(TRAFFIC_ACTIVATIONS, "activations") /* of the tensor group */ \
    X(TRAFFIC_MEMORY, "memory")           /* gathers of shards */   \
    X(TRAFFIC_COMPRESSION, "compression") /* losses of f_c */       \
    X(TRAFFIC_PIPELINE, "pipeline")       /* between stages */      \
    X(TRAFFIC_SCALARS, "scalars")         /* counts and verdicts */

typedef enum TrafficKind {
#define PAL_TRAFFIC_ENTRY(name, text) name,
    PAL_TRAFFIC_LIST(PAL_TRAFFIC_ENTRY)
#undef PAL_TRAFFIC_ENTRY
        TRAFFIC_COUNT
} TrafficKind;

typedef struct Traffic {
    double bytes[TRAFFIC_COUNT];        /* sent */
    double wait_seconds[TRAFFIC_COUNT]; /* inside of calls that wait */
} Traffic;

const char *traffic_name(TrafficKind kind);

/* after - before */
Traffic traffic_difference(const Traffic *after, const Traffic *before);
double traffic_bytes(const Traffic *traffic);
double traffic_seconds(const Traffic *traffic);

#endif
