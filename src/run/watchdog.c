/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/watchdog.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/base/timer.h"
#include "src/run/machine.h"
#include "src/run/watchdog_report.h"

/* What the thread has been told; under the lock. */
static struct {
    pthread_mutex_t lock;
    double limits[SECTION_COUNT]; /* seconds; 0: none */
    int rank, ranks;
    char *hosts;                /* (ranks, PAL_HOST_SIZE) */
    char folder[PAL_PATH_SIZE]; /* RUN/watchdog; empty: none */
} known = {.lock = PTHREAD_MUTEX_INITIALIZER, .ranks = 1};

static void sleep_seconds(double seconds)
{
    struct timespec pause = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

static double between(double least, double value, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* --- the report and the end ------------------------------------------------------------------- */

static void report_path(int rank, char path[PAL_PATH_SIZE + 32])
{
    snprintf(path, PAL_PATH_SIZE + 32, "%s/rank-%d.txt", known.folder, rank);
}

/* The file appears with its first line whole, from which others judge; NULL where there is none. */
static FILE *publish_report(const WatchdogReport *report)
{
    if (known.folder[0] == '\0') return NULL;
    char path[PAL_PATH_SIZE + 32], temporary[PAL_PATH_SIZE + 48];
    (void)mkdir(known.folder, 0777); /* by whoever comes first */
    report_path(report->rank, path);
    snprintf(temporary, sizeof temporary, "%s.part", path);
    FILE *file = fopen(temporary, "w");
    if (file == NULL) return NULL;
    watchdog_report_write(report, file);
    if (fflush(file) == 0) (void)rename(temporary, path);
    return file;
}

/* First to stderr, which needs no file system. Calls come last: their names take a while. */
static void write_report(const WatchdogReport *report)
{
    watchdog_report_write(report, stderr);
    FILE *file = publish_report(report);
    watchdog_write_calls(stderr);
    if (file == NULL) return;
    watchdog_write_calls(file);
    fclose(file);
}

static bool has_reported(int rank)
{
    char path[PAL_PATH_SIZE + 32];
    report_path(rank, path);
    return access(path, F_OK) == 0;
}

/* The lowest rank that has reported speaks for all. */
static bool speaks(void)
{
    for (int r = 0; r < known.rank; r++)
        if (has_reported(r)) return false;
    return true;
}

static void write_verdict(const WatchdogReport *own)
{
    size_t ranks = (size_t)known.ranks;
    RankState *states = calloc(ranks, sizeof *states);
    char path[PAL_PATH_SIZE + 32], text[4096];
    if (states == NULL) return;
    for (int r = 0; r < known.ranks; r++) {
        report_path(r, path);
        states[r] = watchdog_report_read(path);
    }
    /* Also where its file cannot be written. */
    states[known.rank] = own->at.waits ? RANK_WAITS : RANK_ALONE;
    watchdog_verdict(states, known.hosts, known.ranks, text, sizeof text);
    fprintf(stderr, "watchdog: %s\n", text);
    snprintf(path, sizeof path, "%s/../log.txt", known.folder);
    FILE *log = fopen(path, "a");
    if (log == NULL) return;
    fprintf(log, "watchdog: %s; each rank's report is in %s\n", text, known.folder);
    fclose(log);
}

/* The launcher ends all ranks when the first has gone: the one that speaks is the first. The alarm
 * ends this one also when it waits for a file system that does not answer. */
_Noreturn static void give_up(const Whereabouts *at, double seconds, double limit)
{
    enum { LEAD = 5, GUARD = 30 };
    double grace = between(1.0, limit / 4.0, 60.0);
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)grace + LEAD + GUARD);
    pthread_mutex_lock(&known.lock);
    WatchdogReport report = {.rank = known.rank, .seconds = seconds, .limit = limit, .at = *at};
    write_report(&report);
    sleep_seconds(grace);
    if (known.folder[0] == '\0')
        fprintf(stderr,
                "watchdog: of %d ranks, those that are not named above are stopped, dead, or cut "
                "off from the others\n",
                known.ranks);
    else if (speaks())
        write_verdict(&report);
    else
        sleep_seconds(LEAD);
    _exit(PAL_ERROR_HUNG);
}

/* --- the thread ------------------------------------------------------------------------------- */

static double limit_of(Section section)
{
    pthread_mutex_lock(&known.lock);
    double limit = known.limits[section];
    pthread_mutex_unlock(&known.lock);
    return limit;
}

static void *watch(void *context)
{
    (void)context;
    double woke = timer_seconds(), excused = woke;
    for (;;) {
        double limit = limit_of(whereabouts_now().section);
        double pause = limit > 0.0 ? between(0.05, limit / 20.0, 1.0) : 1.0;
        sleep_seconds(pause);
        double now = timer_seconds();
        if (now - woke > pause + 2.0) excused = now; /* the whole process was stopped */
        woke = now;
        const Whereabouts at = whereabouts_now();
        double since = at.progressed > excused ? at.progressed : excused;
        if (limit > 0.0 && limit == limit_of(at.section) && now - since > limit)
            give_up(&at, now - since, limit);
    }
    return NULL;
}

/* Before MPI tells: what launchers put into the environment. */
static int launched_rank(void)
{
    static const char *const names[] = {"PMIX_RANK", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text != NULL) return (int)strtol(text, NULL, 10);
    }
    return 0;
}

static void set_limits(const WatchdogConfig *limits)
{
    const double values[SECTION_COUNT] = {
        [SECTION_START] = limits->start,
        [SECTION_STEP] = limits->step,
        [SECTION_SAVE] = limits->save,
        [SECTION_EVALUATION] = limits->evaluation,
    };
    memcpy(known.limits, values, sizeof values);
}

void watchdog_start(void)
{
    Config defaults;
    config_defaults(&defaults);
    set_limits(&defaults.watchdog);
    known.rank = launched_rank();
    whereabouts_enter(SECTION_START);
    watchdog_prepare_calls();

    /* Signals are the main thread's. */
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_detach(thread);
    else
        log_warn("no watchdog: its thread cannot be started: %s", strerror(error));
}

/* Of the start before, which may have had more ranks. */
static void remove_reports(const char *folder)
{
    DIR *entries = opendir(folder);
    if (entries == NULL) return;
    const struct dirent *entry;
    while ((entry = readdir(entries)) != NULL)
        if (strncmp(entry->d_name, "rank-", 5) == 0)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
}

void watchdog_know(const WatchdogConfig *limits, const Grid *grid, const char *folder)
{
    const Group *world = &grid->world;
    char *hosts = machine_hosts(world), place[PAL_PATH_SIZE] = "";
    if (folder != NULL && snprintf(place, sizeof place, "%s/watchdog", folder) >= (int)sizeof place)
        place[0] = '\0';
    if (place[0] != '\0' && group_is_root(world)) remove_reports(place);
    group_barrier(world);
    pthread_mutex_lock(&known.lock);
    set_limits(limits);
    known.rank = world->rank;
    known.ranks = world->size;
    free(known.hosts);
    known.hosts = hosts;
    memcpy(known.folder, place, sizeof place);
    pthread_mutex_unlock(&known.lock);
    whereabouts_progress();
}
