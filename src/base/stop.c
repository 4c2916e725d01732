/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/stop.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "src/base/log.h"
#include "src/base/timer.h"

static atomic_bool came[STOP_COUNT];
static double moments[STOP_COUNT]; /* 0: none */

/* As if nobody had listened. */
static void end_at_once(void)
{
    sigset_t termination;
    sigemptyset(&termination);
    sigaddset(&termination, SIGTERM);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &termination, NULL);
    kill(getpid(), SIGTERM);
}

/* Who sends SIGTERM again does not want to wait. A batch system and the launcher may both send the
 * first one, at the same moment. */
static void *listen(void *context)
{
    enum { SAME_MOMENT = 2 /* seconds */ };
    const sigset_t *requests = context;
    double first = 0.0;
    for (int number; sigwait(requests, &number) == 0;) {
        StopReason reason = number == SIGTERM ? STOP_SIGTERM : STOP_SIGUSR1;
        bool again = atomic_exchange(&came[reason], true);
        if (number != SIGTERM) continue;
        if (!again) first = timer_seconds();
        if (timer_seconds() - first > SAME_MOMENT) end_at_once();
    }
    return NULL;
}

/* A thread waits for them, and none is ever interrupted by them: oneDNN's matrix products keep
 * their stack pointer where a signal's frame would overwrite the heap (2.6.3). */
void stop_listen(void)
{
    static sigset_t requests;
    sigset_t before;
    pthread_t thread;
    sigemptyset(&requests);
    sigaddset(&requests, SIGUSR1);
    sigaddset(&requests, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &requests, &before); /* all later threads have it from here */
    int error = pthread_create(&thread, NULL, listen, &requests);
    if (error == 0) {
        pthread_detach(thread);
    } else {
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        log_warn("signals will end the program at once: no thread can be started that heeds them: "
                 "%s",
                 strerror(error));
    }
}

void stop_at(StopReason reason, double seconds) { moments[reason] = seconds; }

static bool is_asked_for(int reason)
{
    return atomic_load(&came[reason]) ||
           (moments[reason] > 0.0 && timer_seconds() >= moments[reason]);
}

StopReason stop_requested(void)
{
    for (int reason = STOP_COUNT - 1; reason > STOP_NONE; reason--)
        if (is_asked_for(reason)) return (StopReason)reason;
    return STOP_NONE;
}

const char *stop_text(StopReason reason)
{
    static const char *const texts[STOP_COUNT] = {
#define PAL_STOP_ENTRY(name, text) [name] = text,
        PAL_STOP_LIST(PAL_STOP_ENTRY)
#undef PAL_STOP_ENTRY
    };
    return texts[reason];
}
