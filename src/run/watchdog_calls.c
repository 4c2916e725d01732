/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls that the main thread is in. A signal makes it note their addresses; the names come from
 * another thread, and from addr2line where that is installed.
 */
#define _GNU_SOURCE /* dladdr, environ */
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/run/watchdog_report.h"

enum { MOST_CALLS = 64, OWN_CALLS = 2 /* the signal's handler and its frame */ };

static struct {
    pthread_t main_thread;
    void *calls[MOST_CALLS];
    atomic_int count; /* -1: not asked, or not answered yet */
} noted = {.count = -1};

static void note_calls(int number)
{
    (void)number;
    atomic_store(&noted.count, backtrace(noted.calls, MOST_CALLS));
}

void watchdog_prepare_calls(void)
{
    noted.main_thread = pthread_self();
    /* The first call loads a library, which a signal's handler must not do. */
    (void)backtrace(noted.calls, MOST_CALLS);
    struct sigaction action = {.sa_handler = note_calls, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
}

static int ask_main_thread(void)
{
    enum { TRIES = 200 };
    const struct timespec pause = {0, 10000000};
    atomic_store(&noted.count, -1);
    pthread_kill(noted.main_thread, SIGUSR2);
    for (int i = 0; i < TRIES && atomic_load(&noted.count) < 0; i++) nanosleep(&pause, NULL);
    return atomic_load(&noted.count);
}

/* Names of functions of this program, also of those that no other file sees. */
static void write_names(FILE *out, int count)
{
    char program[4096], texts[MOST_CALLS][24];
    char *arguments[MOST_CALLS + 5] = {"addr2line", "-fpe", program};
    int used = 3;
    Dl_info own, other;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length < 0 || dladdr((void *)(uintptr_t)watchdog_write_calls, &own) == 0) return;
    program[length] = '\0';
    for (int i = OWN_CALLS; i < count; i++) {
        if (dladdr(noted.calls[i], &other) == 0 || other.dli_fbase != own.dli_fbase) continue;
        /* Where it came from, not where it will go on. */
        snprintf(texts[i], sizeof texts[i], "%#tx",
                 (char *)noted.calls[i] - (char *)own.dli_fbase - 1);
        arguments[used++] = texts[i];
    }
    posix_spawn_file_actions_t actions;
    pid_t child;
    fprintf(out, "of this program:\n");
    fflush(out);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(out), STDOUT_FILENO);
    if (posix_spawnp(&child, "addr2line", &actions, NULL, arguments, environ) == 0)
        (void)waitpid(child, NULL, 0);
    posix_spawn_file_actions_destroy(&actions);
}

void watchdog_write_calls(FILE *out)
{
    int count = ask_main_thread();
    if (count < OWN_CALLS) {
        fprintf(out, "the main thread does not answer: the system keeps it in a call\n");
        return;
    }
    fprintf(out, "calls of the main thread, innermost first:\n");
    fflush(out);
    backtrace_symbols_fd(noted.calls + OWN_CALLS, count - OWN_CALLS, fileno(out));
    write_names(out, count);
}
