/* SPDX-License-Identifier: Apache-2.0 */
#include "src/optim/schedule.h"

#include <math.h>

double schedule_learning_rate(const Schedule *s, int64_t update)
{
    if (update <= s->warmup)
        return s->lr_start + (s->lr_peak - s->lr_start) * (double)update / (double)s->warmup;
    if (update >= s->decay) return s->lr_end;

    double progress = (double)(update - s->warmup) / (double)(s->decay - s->warmup);
    return s->lr_end + (s->lr_peak - s->lr_end) * 0.5 * (1.0 + cos(acos(-1.0) * progress));
}

int schedule_windows(const Schedule *s, int64_t update)
{
    return update < s->update_every_after ? 1 : s->update_every;
}
