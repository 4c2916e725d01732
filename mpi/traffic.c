/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/traffic.h"

const char *traffic_name(TrafficKind kind)
{
    static const char *const names[] = {
#define PAL_TRAFFIC_ENTRY(name, text) [name] = text,
        PAL_TRAFFIC_LIST(PAL_TRAFFIC_ENTRY)
#undef PAL_TRAFFIC_ENTRY
    };
    return names[kind];
}

Traffic traffic_difference(const Traffic *after, const Traffic *before)
{
    Traffic difference;
    for (int k = 0; k < TRAFFIC_COUNT; k++) {
        difference.bytes[k] = after->bytes[k] - before->bytes[k];
        difference.wait_seconds[k] = after->wait_seconds[k] - before->wait_seconds[k];
    }
    return difference;
}

double traffic_bytes(const Traffic *traffic)
{
    double sum = 0.0;
    for (int k = 0; k < TRAFFIC_COUNT; k++) sum += traffic->bytes[k];
    return sum;
}

double traffic_seconds(const Traffic *traffic)
{
    double sum = 0.0;
    for (int k = 0; k < TRAFFIC_COUNT; k++) sum += traffic->wait_seconds[k];
    return sum;
}
