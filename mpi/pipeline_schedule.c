/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/pipeline_schedule.h"

#include "src/base/status.h"

int pipeline_flights(int stages, int stage, int micro_batches, int run_ahead)
{
    PAL_ASSERT(stage >= 0 && stage < stages && micro_batches >= 1 && run_ahead >= 0);
    int wanted = stage == stages - 1 ? 1 : stages - stage + run_ahead;
    return wanted < micro_batches ? wanted : micro_batches;
}

int pipeline_schedule(int flights, int micro_batches, PipelineAction *actions)
{
    PAL_ASSERT(flights >= 1);
    int count = 0;
    int forward = 0;
    for (int backward = 0; backward < micro_batches; backward++) {
        /* Forwards until all flights are up: several at the start, later one at a time. */
        for (; forward < micro_batches && forward - backward < flights; forward++)
            actions[count++] = (PipelineAction){PIPELINE_FORWARD, forward, forward % flights};
        actions[count++] = (PipelineAction){PIPELINE_BACKWARD, backward, backward % flights};
    }
    return count;
}

double pipeline_idle_share(int stages, int micro_batches)
{
    PAL_ASSERT(stages >= 1 && micro_batches >= 1);
    return (double)(stages - 1) / (double)(micro_batches + stages - 1);
}
