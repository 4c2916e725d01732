/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/together.h"

#include <stdbool.h>
#include <stdio.h>

#include "mpi/collectives.h"
#include "src/base/host.h"
#include "src/base/progress.h"
#include "src/base/stop.h"
#include "src/base/whereabouts.h"

/* What a rank brings to a vote: how much of its part is left, in millionths; above that the reason
 * why all should stop, and above all that it cannot go on. */
enum { WHOLE = 1000000, FAILED = WHOLE + STOP_COUNT };

static int ballot(const SharedWork *work, int64_t left, Status status)
{
    StopReason reason = stop_requested();
    if (status != PAL_OK) return FAILED;
    if (reason != STOP_NONE) return WHOLE + (int)reason;
    if (left == 0) return 0;
    return 1 + (int)((WHOLE - 1) * ((double)left / (double)work->mine));
}

/* Which rank it was matters where files are not the same on all nodes. */
static void add_rank_to_message(const Group *group)
{
    char message[2048];
    if (group->size == 1) return;
    snprintf(message, sizeof message, "%.1700s (rank %d on host %s)", status_message(), group->rank,
             host_name());
    status_set_message(message);
}

static Status stopped(const Group *group, const SharedWork *work, int64_t left, StopReason reason)
{
    double done = (double)(work->mine - left);
    group_sum_double(group, &done, 1);
    PAL_FAIL(PAL_STOPPED_EARLY,
             "prepare: stopped in '%s' after %.1f of %.1f MB: %s; started again with the same "
             "arguments it goes on from there",
             work->label, 1e-6 * done, 1e-6 * (double)work->total, stop_text(reason));
}

Status work_together(const Group *group, const SharedWork *work)
{
    const double millionth = 1e-6 * (double)work->total;
    Progress progress = progress_begin(work->label, work->total, "MB");
    progress.scale = 1e-6;
    Status status = PAL_OK;
    Vote vote = {0};
    int64_t left = work->mine;
    int most = WHOLE;
    (void)group_vote(group, &vote, most);
    while (most > 0 && most <= WHOLE) {
        bool works = status == PAL_OK && left > 0;
        whereabouts_progress();
        if (works) status = work->step(work->context, &left);
        if (works && !group_vote_ready(group, &vote)) continue;
        most = group_vote(group, &vote, ballot(work, left, status));
        if (most <= WHOLE) progress_show(&progress, work->total - (int64_t)(most * millionth));
    }
    (void)group_vote_end(group, &vote);
    if (status != PAL_OK) add_rank_to_message(group);
    PAL_TRY(group_agree(group, status));
    return most > WHOLE ? stopped(group, work, left, (StopReason)(most - WHOLE)) : PAL_OK;
}
