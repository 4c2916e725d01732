/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/progress.h"

#include <stdio.h>

#include "src/base/log.h"
#include "src/base/timer.h"

enum { BAR_WIDTH = 24 };
static const double redraw_seconds = 0.25;

Progress progress_begin(const char *label, int64_t total, const char *unit)
{
    return (Progress){label, unit, total, 1.0, timer_seconds(), 0.0};
}

const char *duration_text(double seconds, char text[32])
{
    long whole = seconds > 0.0 ? (long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%ld:%02ld", whole / 60, whole % 60);
    return text;
}

void progress_show(Progress *progress, int64_t done)
{
    double now = timer_seconds();
    if (now - progress->shown < redraw_seconds && done < progress->total) return;
    progress->shown = now;

    char bar[BAR_WIDTH + 1], left[32];
    double part = progress->total > 0 ? (double)done / (double)progress->total : 1.0;
    double rate = now > progress->started ? (double)done / (now - progress->started) : 0.0;
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
    bar[BAR_WIDTH] = '\0';
    duration_text(rate > 0.0 ? (double)(progress->total - done) / rate : 0.0, left);
    rate *= progress->scale;
    log_progress("%s [%s] %3.0f %%  %.*f %s/s  %s left", progress->label, bar, 100.0 * part,
                 rate < 10.0 ? 2 : 0, rate, progress->unit, left);
}
