/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/bad_steps.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *text;
} verdicts[STEP_VERDICT_COUNT] = {
    [STEP_GOOD] = {"none", "nothing is wrong"},
    [STEP_LOSS_NOT_FINITE] = {"loss", "the loss is not finite"},
    [STEP_NORM_NOT_FINITE] = {"gradient_norm", "a gradient norm is not finite"},
    [STEP_SPIKE] = {"spike", "the loss is a spike"},
};

const char *bad_steps_name(StepVerdict verdict) { return verdicts[verdict].name; }
const char *bad_steps_text(StepVerdict verdict) { return verdicts[verdict].text; }

/* Two passes, oldest first: the same bits after a restart. */
double bad_steps_z(const BadSteps *steps, double loss)
{
    const StepHistory *h = &steps->history;
    if (h->held < PAL_RECENT_LOSSES) return 0.0;
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < PAL_RECENT_LOSSES; i++) sum += h->losses[i];
    double mean = sum / PAL_RECENT_LOSSES;
    for (int i = 0; i < PAL_RECENT_LOSSES; i++)
        squares += (h->losses[i] - mean) * (h->losses[i] - mean);
    double deviation = sqrt(squares / (PAL_RECENT_LOSSES - 1));
    return deviation > 0.0 ? (loss - mean) / deviation : 0.0;
}

StepVerdict bad_steps_judge(const BadSteps *steps, double loss, const double *norms, int count)
{
    if (!isfinite(loss)) return STEP_LOSS_NOT_FINITE;
    for (int i = 0; i < count; i++)
        if (!isfinite(norms[i])) return STEP_NORM_NOT_FINITE;
    if (steps->spike_z > 0.0 && bad_steps_z(steps, loss) > steps->spike_z) return STEP_SPIKE;
    return STEP_GOOD;
}

static void remember(StepHistory *h, double loss)
{
    memmove(h->losses, h->losses + 1, (PAL_RECENT_LOSSES - 1) * sizeof *h->losses);
    h->losses[PAL_RECENT_LOSSES - 1] = loss;
    if (h->held < PAL_RECENT_LOSSES) h->held++;
}

/* Progress is counted in updates, not in checkpoints: these also come by the clock and when a run
 * is asked to stop, which must not change what it does. */
void bad_steps_count(BadSteps *steps, StepVerdict verdict, int64_t update, double loss)
{
    StepHistory *h = &steps->history;
    if (verdict != STEP_GOOD) {
        h->skips++;
        return;
    }
    remember(h, loss);
    h->skips = 0;
    if (update > h->furthest) h->rewinds = 0;
}

bool bad_steps_too_many(const BadSteps *steps) { return steps->history.skips >= steps->max_skips; }

bool bad_steps_may_rewind(const BadSteps *steps) { return steps->history.rewinds < MOST_REWINDS; }

void bad_steps_rewind(BadSteps *steps, const StepHistory *saved, int64_t from)
{
    StepHistory *h = &steps->history;
    memcpy(h->losses, saved->losses, sizeof h->losses);
    h->held = saved->held;
    h->skips = 0;
    h->rewinds++;
    if (from > h->furthest) h->furthest = from;
}
