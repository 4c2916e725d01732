/* SPDX-License-Identifier: Apache-2.0
 *
 * What changes over the updates u = 1, 2, ... (Rae et al. 2019, section 5):
 *
 *     u <= warmup         lr_start + (lr_peak - lr_start) u / warmup
 *     warmup < u < decay  cosine from lr_peak to lr_end over (u - warmup) / (decay - warmup)
 *     u >= decay          lr_end
 *
 * and how many windows an update covers: 1 before update `update_every_after`, update_every from it
 * on.
 */
#ifndef PAL_OPTIM_SCHEDULE_H
#define PAL_OPTIM_SCHEDULE_H

#include <stdint.h>

typedef struct Schedule {
    double lr_start, lr_peak, lr_end;
    int64_t warmup, decay;
    int update_every;
    int64_t update_every_after;
} Schedule;

double schedule_learning_rate(const Schedule *schedule, int64_t update);

int schedule_windows(const Schedule *schedule, int64_t update);

#endif
