/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/stopping.h"

#include "mpi/collectives.h"

StopReason stopping_agree(const Group *group)
{
    double most = (double)stop_requested();
    group_max_double(group, &most, 1);
    return (StopReason)most;
}
