/* SPDX-License-Identifier: Apache-2.0
 *
 * What this process is doing, for whoever has to find out why it does not go on (run/watchdog.h).
 * The main thread notes it as it goes; any thread, or a signal handler, may read it.
 */
#ifndef PAL_BASE_WHEREABOUTS_H
#define PAL_BASE_WHEREABOUTS_H

#include <stdbool.h>
#include <stdint.h>

/* The parts of a run, each with a limit of its own for the time without progress: the keys of
 * [watchdog] in the configuration. */
#define PAL_SECTION_LIST(X)   \
    X(SECTION_START, "start") \
    X(SECTION_STEP, "step")   \
    X(SECTION_SAVE, "save")   \
    X(SECTION_EVALUATION, "evaluation")

typedef enum Section {
#define PAL_SECTION_ENTRY(name, text) name,
    PAL_SECTION_LIST(PAL_SECTION_ENTRY)
#undef PAL_SECTION_ENTRY
        SECTION_COUNT
} Section;

typedef struct Whereabouts {
    Section section;
    int64_t update;        /* that has begun; 0 before the first */
    double progressed;     /* timer_seconds() of the latest progress */
    const char *operation; /* that meets other ranks: the latest; NULL before the first */
    const char *group;     /* with whom: "world", "data", ... */
    bool waits;            /* it has not come back from it yet */
    int64_t meetings;      /* such operations so far, with the latest */
} Whereabouts;

const char *section_name(Section section);

/* Main thread. A part of the run begins: progress. */
void whereabouts_enter(Section section);
/* Main thread. This update begins. */
void whereabouts_update(int64_t update);
/* Main thread. A piece of the section's work is done: a micro-batch, a window, a block. */
void whereabouts_progress(void);
/* Any thread. The same, which counts where the main thread is in this section. */
void whereabouts_progress_in(Section section);

/* Main thread. Around what other ranks have to come to. The texts stay valid for ever. */
void whereabouts_meet(const char *operation, const char *group);
void whereabouts_met(void);

Whereabouts whereabouts_now(void);

#endif
