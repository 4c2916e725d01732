/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/watchdog_report.h"

#include <stdlib.h>
#include <string.h>

void watchdog_report_write(const WatchdogReport *r, FILE *out)
{
    const Whereabouts *at = &r->at;
    fprintf(
        out, "watchdog: rank %d on %s: no progress for %.0f s in %s (limit %.0f s), update %lld, ",
        r->rank, r->host, r->seconds, section_name(at->section), r->limit, (long long)at->update);
    if (at->operation == NULL)
        fprintf(out, "before it met any other rank\n");
    else
        fprintf(out, "%s %s of group %s, its meeting %lld\n",
                at->waits ? "waiting for others in" : "by itself, last met others in",
                at->operation, at->group, (long long)at->meetings);
    fprintf(out, "rank=%d host=%s section=%d update=%lld meetings=%lld waits=%d\n", r->rank,
            r->host, (int)at->section, (long long)at->update, (long long)at->meetings, at->waits);
}

bool watchdog_report_read(WatchdogReport *r, const char *path)
{
    *r = (WatchdogReport){0};
    FILE *file = fopen(path, "r");
    if (file == NULL) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        int section = 0, waits = 0;
        long long update = 0, meetings = 0;
        found = sscanf(line, "rank=%d host=%63s section=%d update=%lld meetings=%lld waits=%d",
                       &r->rank, r->host, &section, &update, &meetings, &waits) == 6;
        r->at = (Whereabouts){.section = (Section)section,
                              .update = update,
                              .meetings = meetings,
                              .waits = waits != 0};
    }
    fclose(file);
    return found;
}

/* --- the verdict ------------------------------------------------------------------------------ */

typedef bool (*Chooses)(const WatchdogReport *report, bool reported);

static bool is_missing(const WatchdogReport *report, bool reported)
{
    (void)report;
    return !reported;
}

static bool is_by_itself(const WatchdogReport *report, bool reported)
{
    return reported && !report->at.waits;
}

static bool is_any(const WatchdogReport *report, bool reported)
{
    (void)report;
    (void)reported;
    return true;
}

/* "rank 2 on node1, rank 5 on node2 and 30 more"; the number of ranks. */
static int list_ranks(const WatchdogReport *reports, const bool *reported, const char *hosts,
                      int ranks, Chooses chooses, char *text, size_t size)
{
    enum { MOST_NAMES = 16 };
    int count = 0;
    size_t length = 0;
    text[0] = '\0';
    for (int r = 0; r < ranks; r++) {
        if (!chooses(&reports[r], reported[r])) continue;
        if (count < MOST_NAMES && length < size)
            length += (size_t)snprintf(text + length, size - length, "%srank %d on %.*s",
                                       count > 0 ? ", " : "", r, PAL_HOST_SIZE,
                                       hosts + (size_t)r * PAL_HOST_SIZE);
        count++;
    }
    if (count > MOST_NAMES && length < size)
        snprintf(text + length, size - length, " and %d more", count - MOST_NAMES);
    return count;
}

void watchdog_verdict(const WatchdogReport *reports, const bool *reported, const char *hosts,
                      int ranks, char *text, size_t size)
{
    char names[2048];
    int missing = list_ranks(reports, reported, hosts, ranks, is_missing, names, sizeof names);
    if (missing > 0) {
        snprintf(text, size,
                 "%d of %d ranks report; not %s: stopped, dead, or cut off from the others",
                 ranks - missing, ranks, names);
        return;
    }
    int alone = list_ranks(reports, reported, hosts, ranks, is_by_itself, names, sizeof names);
    if (alone > 0) {
        snprintf(text, size,
                 "all %d ranks report; %s %s not waiting for others: what %s in is in the report",
                 ranks, names, alone == 1 ? "is" : "are", alone == 1 ? "it is" : "they are");
        return;
    }
    (void)list_ranks(reports, reported, hosts, ranks, is_any, names, sizeof names);
    snprintf(text, size,
             "all %d ranks report, and wait for each other (%s): the network between their nodes, "
             "or the MPI library, does not deliver",
             ranks, names);
}
