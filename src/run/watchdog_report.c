/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/watchdog_report.h"

#include <string.h>

static const char waits_for[] = "waiting for others in";
static const char is_alone[] = "by itself";

void watchdog_report_write(const WatchdogReport *r, FILE *out)
{
    const Whereabouts *at = &r->at;
    fprintf(out,
            "watchdog: rank %d on %s: no progress for %.0f s in %s (limit %.0f s), update %lld, ",
            r->rank, host_name(), r->seconds, section_name(at->section), r->limit,
            (long long)at->update);
    if (at->operation == NULL)
        fprintf(out, "%s, before it met any other rank\n", is_alone);
    else
        fprintf(out, "%s%s %s of group %s, its meeting %lld\n", at->waits ? waits_for : is_alone,
                at->waits ? "" : ", last met others in", at->operation, at->group,
                (long long)at->meetings);
}

RankState watchdog_report_read(const char *path)
{
    char line[512] = "";
    FILE *file = fopen(path, "r");
    if (file == NULL) return RANK_MISSING;
    bool found = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    if (!found) return RANK_MISSING;
    return strstr(line, waits_for) != NULL ? RANK_WAITS : RANK_ALONE;
}

/* --- the verdict ------------------------------------------------------------------------------ */

/* "rank 2 on node1, rank 5 on node2 and 30 more"; the number of ranks. */
static int list_ranks(const RankState *states, RankState wanted, const char *hosts, int ranks,
                      char *text, size_t size)
{
    enum { MOST_NAMES = 16 };
    int count = 0;
    size_t length = 0;
    text[0] = '\0';
    for (int r = 0; r < ranks; r++) {
        if (states[r] != wanted) continue;
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

void watchdog_verdict(const RankState *states, const char *hosts, int ranks, char *text,
                      size_t size)
{
    char names[2048];
    int missing = list_ranks(states, RANK_MISSING, hosts, ranks, names, sizeof names);
    if (missing > 0) {
        snprintf(text, size,
                 "%d of %d ranks report; not %s: stopped, dead, or cut off from the others",
                 ranks - missing, ranks, names);
        return;
    }
    int alone = list_ranks(states, RANK_ALONE, hosts, ranks, names, sizeof names);
    if (alone > 0) {
        snprintf(text, size,
                 "all %d ranks report; %s %s not waiting for others: what %s in is in the report",
                 ranks, names, alone == 1 ? "is" : "are", alone == 1 ? "it is" : "they are");
        return;
    }
    (void)list_ranks(states, RANK_WAITS, hosts, ranks, names, sizeof names);
    snprintf(text, size,
             "all %d ranks report, and wait for each other (%s): the network between their nodes, "
             "or the MPI library, does not deliver",
             ranks, names);
}
