/* SPDX-License-Identifier: Apache-2.0
 *
 * Wall-clock seconds, and a table of named phases that add up where the time of a step goes.
 */
#ifndef PAL_BASE_TIMER_H
#define PAL_BASE_TIMER_H

/* Monotonic seconds since some fixed moment. */
double timer_seconds(void);

/* Seconds in which a core worked for the calling thread, or waited in a loop for it: what the clock
 * on the wall says less the time in which the thread was stopped, asleep, or had to let others. */
double timer_processor_seconds(void);

/* The phases of a training update, in the order in which a report shows them. */
#define PAL_PHASE_LIST(X)                             \
    X(PHASE_DATA, "data")                             \
    X(PHASE_EMBEDDING, "embedding")                   \
    X(PHASE_PROJECTION, "projections")                \
    X(PHASE_POSITION, "positions")                    \
    X(PHASE_ATTENTION_FORWARD, "attention forward")   \
    X(PHASE_ATTENTION_BACKWARD, "attention backward") \
    X(PHASE_FEED_FORWARD, "feed-forward")             \
    X(PHASE_NORM, "norms, residuals, dropout")        \
    X(PHASE_OUTPUT, "output and cross entropy")       \
    X(PHASE_COMPRESSION, "compression")               \
    X(PHASE_COMPRESSION_LOSS, "compression loss")     \
    X(PHASE_MEMORY, "memory update")                  \
    X(PHASE_EXCHANGE, "exchange in the tensor group") \
    X(PHASE_PIPELINE, "waiting for pipeline stages")  \
    X(PHASE_REDUCTION, "gradient reduction")          \
    X(PHASE_OPTIMIZER, "clipping and optimiser")

typedef enum Phase {
#define PAL_PHASE_ENTRY(name, text) name,
    PAL_PHASE_LIST(PAL_PHASE_ENTRY)
#undef PAL_PHASE_ENTRY
        PHASE_COUNT
} Phase;

const char *phase_name(Phase phase);

/* Seconds and matrix-product operations by phase. Only one phase runs at a time. The seconds are the
 * host's, between one change and the next: what a device computes later is counted where the host
 * waits for it, unless `change` waits. */
typedef struct PhaseTimes {
    double seconds[PHASE_COUNT];
    double operations[PHASE_COUNT]; /* filled by the device, see tensor/device.h */
    Phase current;
    double since;
    /* NULL, or called before the clock is read with the name of the phase that begins; NULL: none
     * begins. */
    void (*change)(void *context, const char *name);
    void *context;
} PhaseTimes;

/* Ends the running phase and begins this one. Both do nothing with times == NULL. */
void phase_begin(PhaseTimes *times, Phase phase);
/* Ends the running phase, so that its seconds are counted. */
void phase_end(PhaseTimes *times);
/* Counts from zero again. No phase runs. */
void phase_clear(PhaseTimes *times);

#endif
