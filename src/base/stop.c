/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/stop.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "src/base/timer.h"

static volatile sig_atomic_t came[STOP_COUNT];
static double moments[STOP_COUNT]; /* 0: none */

static void note_user_signal(int number)
{
    (void)number;
    came[STOP_SIGUSR1] = 1;
}

/* Who sends it again does not want to wait. A batch system and the launcher may both send the first
 * one, at the same moment. */
static void note_termination(int number)
{
    enum { SAME_MOMENT = 2 /* seconds */ };
    static volatile double first;
    double now = timer_seconds();
    if (came[STOP_SIGTERM] && now - first > SAME_MOMENT) {
        signal(number, SIG_DFL);
        raise(number);
    }
    if (!came[STOP_SIGTERM]) first = now;
    came[STOP_SIGTERM] = 1;
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

void stop_listen(void)
{
    handle(SIGUSR1, note_user_signal);
    handle(SIGTERM, note_termination);
}

void stop_at(StopReason reason, double seconds) { moments[reason] = seconds; }

static bool is_asked_for(int reason)
{
    return came[reason] != 0 || (moments[reason] > 0.0 && timer_seconds() >= moments[reason]);
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
