/* SPDX-License-Identifier: Apache-2.0
 *
 * How long checkpoints take, and how much of that training notices.
 */
#ifndef PAL_RUN_BENCH_SAVES_H
#define PAL_RUN_BENCH_SAVES_H

#include "src/run/saving.h"

/* Collective over all ranks, before saving_create: `folder` may be written into. Error
 * (PAL_ERROR_CANT_CREATE): it has checkpoints, which these would push out. */
Status bench_saves_check(const Group *world, const char *folder);

/* Collective over all ranks, with a training that runs. Some saves into the folder of `saving`,
 * each between updates, beside a plain copy of the same bytes, or, synchronous ones, a plain write
 * of as many; prints medians; removes the files. */
Status bench_saves(Training *training, Saving *saving, const char *folder);

#endif
