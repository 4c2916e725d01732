/* SPDX-License-Identifier: Apache-2.0
 *
 * Long work that the ranks of a group share, each its own part, step by step: with progress, and all
 * end when one cannot go on or is asked to stop. Nobody waits for the others before its part is done.
 */
#ifndef PAL_IO_TOGETHER_H
#define PAL_IO_TOGETHER_H

#include <stdint.h>

#include "mpi/grid.h"
#include "src/base/status.h"

typedef struct SharedWork {
    const char *label;   /* of the progress line */
    int64_t total, mine; /* bytes: of all ranks, of this one's part */
    /* One step of a fraction of a second; *left becomes what is left of `mine`, 0 at the end, and
     * only there. */
    Status (*step)(void *context, int64_t *left);
    void *context;
} SharedWork;

/* Collective over the group, each rank with its own part. Errors, the same on every rank: what a
 * step returned, with the rank; PAL_STOPPED_EARLY when any rank was asked to stop. */
Status work_together(const Group *group, const SharedWork *work);

#endif
