/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/device_choice.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/host.h"
#include "src/base/log.h"
#include "src/tensor/backend.h"

static const char *plural(int count) { return count == 1 ? "" : "s"; }

/* --- taking ----------------------------------------------------------------------------------- */

/* Local. Of several ranks the message names the one that gets none. */
static Status take_gpu(const Grid *grid, Device **device)
{
    Status status = backend_create_cuda(device, grid->node.rank);
    if (status == PAL_OK || grid->world.size == 1 || !backend_has_cuda()) return status;
    char message[1024];
    snprintf(message, sizeof message, "%s", status_message());
    PAL_FAIL(status, "rank %d on %s: %s", grid->world.rank, host_name(), message);
}

/* Collective over all ranks: each gets a GPU, or none does. */
static Status take_gpus(const Grid *grid, Device **device)
{
    Status status = group_agree(&grid->world, take_gpu(grid, device));
    if (status != PAL_OK) device_destroy(device);
    return status;
}

Status device_choice_take(const Grid *grid, DeviceName wish, int threads, Device **device,
                          const char **why)
{
    bool tries_gpus = wish == DEVICE_CUDA || (wish == DEVICE_AUTO && backend_has_cuda());
    *why = wish == DEVICE_AUTO ? "auto" : "as asked";
    if (tries_gpus) {
        Status status = take_gpus(grid, device);
        if (status == PAL_OK || wish == DEVICE_CUDA) return status;
        log_info("no GPU is used: %s", status_message());
        *why = "auto: no GPU can be used";
    } else if (wish == DEVICE_AUTO) {
        *why = "auto: this build has no other";
    }
    return device_create_cpu(device, threads);
}

/* --- describing ------------------------------------------------------------------------------- */

/* Collective over the node. How many of its ranks have this rank's GPU. */
static int count_sharing(const Group *node, const Device *device)
{
    size_t bytes = (size_t)node->size * PAL_HARDWARE_BYTES;
    unsigned char *all = fatal_calloc(1, bytes, "the GPUs of a node");
    memcpy(all + (size_t)node->rank * PAL_HARDWARE_BYTES, device->hardware, PAL_HARDWARE_BYTES);
    group_or(node, all, (int)bytes);
    int sharing = 0;
    for (int rank = 0; rank < node->size; rank++)
        sharing += memcmp(all + (size_t)rank * PAL_HARDWARE_BYTES, device->hardware,
                          PAL_HARDWARE_BYTES) == 0;
    free(all);
    return sharing;
}

/* Collective over all ranks. Names the first GPU of those that most ranks share. */
static void warn_of_shared_gpu(const Group *world, const Device *device, int sharing)
{
    double most = sharing, first;
    group_max_double(world, &most, 1);
    if (most < 2.0) return;
    first = sharing == (int)most ? -world->rank : -world->size;
    group_max_double(world, &first, 1);
    char where[256];
    snprintf(where, sizeof where, "%.80s share one GPU (%.150s)", host_name(), device->description);
    group_broadcast(world, where, sizeof where, (int)-first);
    log_warn("%d ranks of %s: they wait for each other; start as many ranks on a node as it has "
             "GPUs",
             (int)most, where);
}

/* Collective over all ranks. Whether all GPUs are described like that of rank 0. */
static bool are_alike(const Group *world, const Device *device)
{
    char first[sizeof device->description];
    memcpy(first, device->description, sizeof first);
    group_broadcast(world, first, sizeof first, 0);
    double differs = strcmp(first, device->description) != 0;
    group_max_double(world, &differs, 1);
    return differs == 0.0;
}

static void describe_gpus(const Group *world, const Group *node, const Device *device, char *text,
                          size_t size)
{
    int sharing = count_sharing(node, device);
    double gpus = 1.0 / sharing;
    group_sum_double(world, &gpus, 1);
    warn_of_shared_gpu(world, device, sharing);
    int ranks = world->size, count = (int)lround(gpus);
    bool alike = are_alike(world, device);
    snprintf(text, size, "%d rank%s %s %d GPU%s%s: %s", ranks, plural(ranks),
             count == ranks ? "x" : "on", count == ranks ? 1 : count,
             plural(count == ranks ? 1 : count), alike ? "" : ", not all alike, the first",
             device->description);
}

const char *device_choice_describe(const Grid *grid, const Device *device, const Cores *cores,
                                   char *text, size_t size)
{
    int ranks = grid->world.size;
    if (device->description[0] != '\0')
        describe_gpus(&grid->world, &grid->node, device, text, size);
    else
        snprintf(text, size, "%d rank%s x %d thread%s%s", ranks, plural(ranks), cores->threads,
                 plural(cores->threads), cores->binding);
    return text;
}
