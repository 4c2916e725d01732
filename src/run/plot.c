/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include "src/run/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "io/whole_file.h"
#include "src/base/log.h"
#include "src/base/timer.h"

extern char **environ;

static const double MOST_SECONDS = 60.0; /* of gnuplot for a picture */

void plot_begin(JsonText *script, const char *name, int width, int height)
{
    char line[160];
    json_append(script, "# gnuplot ");
    json_append(script, name);
    json_append(script, ".gp    draws the picture beside it\n");
    snprintf(line, sizeof line,
             "set terminal svg size %d,%d font \"Helvetica,13\" background \"white\" noenhanced\n",
             width, height);
    json_append(script, line);
    json_append(script, "set output \"");
    json_append(script, name);
    json_append(script, ".svg\"\n"
                        "set encoding utf8\n"
                        "set datafile separator \",\"\n"
                        "set border 3 linewidth 1\n"
                        "set tics nomirror out\n"
                        "set grid ytics linecolor rgb \"#dddddd\" linewidth 1\n"
                        "set key noautotitle\n"
                        "set linetype 1 linecolor rgb \"#1f5a94\" linewidth 2 pointtype 7\n"
                        "set linetype 2 linecolor rgb \"#c2571a\" linewidth 2 pointtype 5\n"
                        "set linetype 3 linecolor rgb \"#6b6b6b\" linewidth 2 pointtype 9\n");
}

void plot_line(JsonText *script, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    json_append(script, text);
    json_append(script, "\n");
}

/* Where it does not end (a folder that hangs, a wrapper that asks) the numbers are there already. */
static bool wait_for(pid_t child, int *status)
{
    const double start = timer_seconds();
    const struct timespec pause = {.tv_nsec = 5000000};
    for (;;) {
        pid_t ended = waitpid(child, status, WNOHANG);
        if (ended == child) return true;
        if (ended < 0 && errno != EINTR) return false;
        if (timer_seconds() - start > MOST_SECONDS) break;
        (void)nanosleep(&pause, NULL);
    }
    (void)kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0)
        if (errno != EINTR) break;
    errno = ETIMEDOUT;
    return false;
}

/* Status of gnuplot, -1 where it could not be started: errno says why. */
static int run_gnuplot(const char *folder, const char *file)
{
    char program[] = "gnuplot", script[NAME_MAX + 1];
    snprintf(script, sizeof script, "%s", file);
    char *arguments[] = {program, script, NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = 0, reason = posix_spawn_file_actions_init(&actions);
    if (reason == 0) reason = posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (reason == 0)
        reason =
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (reason == 0) reason = posix_spawnp(&child, program, &actions, NULL, arguments, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    errno = reason;
    if (reason != 0) return -1;
    if (!wait_for(child, &status)) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* gnuplot does not say when the disk was full. */
static bool is_whole(const char *picture)
{
    enum { END = 16 }; /* blank lines may follow */
    char end[END + 1] = "";
    FILE *in = fopen(picture, "rb");
    if (in == NULL) return false;
    bool good = fseek(in, -END, SEEK_END) == 0 && fread(end, 1, END, in) == END;
    (void)fclose(in);
    return good && strstr(end, "</svg>") != NULL;
}

static void tell_failure(Plotter *plotter, const char *file, int status, int reason)
{
    const char *folder = plotter->folder;
    if (status < 0 && reason == ENOENT) {
        plotter->unavailable = true;
        log_warn("gnuplot is not installed (Debian: gnuplot-nox), so %s has no pictures; the "
                 "numbers are there, and each picture is drawn by, e.g., cd %s && gnuplot %s",
                 folder, folder, file);
    } else if (status < 0) {
        plotter->unavailable = true;
        log_warn("gnuplot could not draw: %s; draw each picture with, e.g., cd %s && "
                 "gnuplot %s",
                 strerror(reason), folder, file);
    } else {
        log_warn("gnuplot ended with status %d without a whole picture; try cd %s && gnuplot %s",
                 status, folder, file);
    }
}

Status plot_draw(Plotter *plotter, const char *name, const JsonText *script, bool *drawn)
{
    const char *folder = plotter->folder;
    char file[NAME_MAX + 1], path[PATH_MAX], picture[PATH_MAX];
    *drawn = false;
    snprintf(file, sizeof file, "%s.gp", name);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    snprintf(picture, sizeof picture, "%s/%s.svg", folder, name);
    PAL_TRY(whole_file_write(path, script));
    if (plotter->unavailable) return PAL_OK;
    int status = run_gnuplot(folder, file), reason = errno;
    *drawn = status == 0 && is_whole(picture);
    if (*drawn) return PAL_OK;

    (void)unlink(picture);
    tell_failure(plotter, file, status, reason);
    return PAL_OK;
}
