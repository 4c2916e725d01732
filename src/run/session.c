/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/host.h"
#include "src/base/log.h"
#include "src/run/cores.h"
#include "src/run/machine.h"
#include "src/run/placing.h"
#include "src/tensor/backend.h"

/* One rank reads, all ranks hear the verdict, then the values; they fix the process grid. */
static Status share_config(Session *session, Status mine, bool rows_follow)
{
    const Group *world = &session->grid->world;
    PAL_TRY(group_agree(world, mine));
    group_broadcast(world, &session->config, sizeof session->config, 0);
    return placing_create_grid(session->grid, &session->config,
                               rows_follow ? world->size : session->config.batch.rows);
}

Status session_read_config(Session *session, Grid *grid, const char *path, const TextList *sets)
{
    *session = (Session){.grid = grid};
    Status status = PAL_OK;
    if (group_is_root(&grid->world))
        status = config_read(&session->config, path, sets->texts, sets->count);
    return share_config(session, status, false);
}

Status session_parse_config(Session *session, Grid *grid, const char *text, const char *name,
                            const TextList *sets)
{
    *session = (Session){.grid = grid};
    Status status = PAL_OK;
    if (group_is_root(&grid->world))
        status = config_parse_text(&session->config, text, name, sets->texts, sets->count);
    return share_config(session, status, true);
}

/* All ranks get a GPU, or none does: ranks of unlike speed would wait for the slowest. */
static Status take_gpus(Session *session)
{
    const Grid *grid = session->grid;
    Status status = backend_create_cuda(&session->device, grid->node.rank);
    status = group_agree(&grid->world, status);
    if (status != PAL_OK) device_destroy(&session->device);
    return status;
}

/* `why`: what the log says about the choice. */
static Status choose_device(Session *session, int threads, const char **why)
{
    DeviceName wish = session->config.device.name;
    bool try_gpus = wish == DEVICE_CUDA || (wish == DEVICE_AUTO && backend_has_cuda());
    *why = wish == DEVICE_AUTO ? "auto" : "as asked";
    if (try_gpus) {
        Status status = take_gpus(session);
        if (status == PAL_OK || wish == DEVICE_CUDA) return status;
        log_info("no GPU is used: %s", status_message());
        *why = "auto: no GPU can be used";
    } else if (wish == DEVICE_AUTO) {
        *why = "auto: this build has no other";
    }
    return device_create_cpu(&session->device, threads);
}

/* Collective over the node. Warns where ranks have the same GPU. */
static void warn_of_shared_gpus(const Session *session)
{
    const Group *node = &session->grid->node;
    size_t bytes = (size_t)node->size * PAL_HARDWARE_BYTES;
    unsigned char *all = fatal_calloc(1, bytes, "the GPUs of a node");
    unsigned char *mine = all + (size_t)node->rank * PAL_HARDWARE_BYTES;
    memcpy(mine, session->device->hardware, PAL_HARDWARE_BYTES);
    group_or(node, all, (int)bytes);
    int first = 0, sharing = 0;
    for (int rank = node->size - 1; rank >= 0; rank--)
        if (memcmp(all + (size_t)rank * PAL_HARDWARE_BYTES, mine, PAL_HARDWARE_BYTES) == 0) {
            first = rank;
            sharing++;
        }
    if (sharing > 1 && first == node->rank)
        log_warn("%d ranks of %s share one GPU (%s): expect them to wait for each other; start as "
                 "many ranks on a node as it has GPUs",
                 sharing, host_name(), session->device->description);
    free(all);
}

/* "2 ranks x 1 thread, each rank on its own cores" or "2 ranks, one GPU each: NVIDIA ..." */
static const char *describe_ranks(const Session *session, const Cores *cores, char *text,
                                  size_t size)
{
    int ranks = session->grid->world.size;
    if (session->device->description[0] == '\0')
        snprintf(text, size, "%d rank%s x %d thread%s%s", ranks, ranks == 1 ? "" : "s",
                 cores->threads, cores->threads == 1 ? "" : "s", cores->binding);
    else
        snprintf(text, size, "%d rank%s with a GPU%s: %s", ranks, ranks == 1 ? "" : "s",
                 ranks == 1 ? "" : " each, the first", session->device->description);
    return text;
}

Status session_start(Session *session)
{
    const Config *config = &session->config;
    Grid *grid = session->grid;
    Cores cores = cores_take(grid, config->parallel.threads, config->parallel.bind);
    const char *why;
    char ranks[320];
    Status status = choose_device(session, cores.threads, &why);
    if (status == PAL_OK) status = arena_create(&session->arena, session->device);
    PAL_TRY(group_agree(&grid->world, status));
    session->device->times = &session->times;
    if (session->device->description[0] != '\0') warn_of_shared_gpus(session);
    session->product_rate =
        group_mean_double(&grid->world, machine_product_rate(session->device, 3));
    log_info("device: %s (%s), %s, %.1f GFLOP/s per rank in a 1024^3 product",
             session->device->op->name, why, describe_ranks(session, &cores, ranks, sizeof ranks),
             session->product_rate * 1e-9);
    return PAL_OK;
}

/* The bytes of the rank that takes most, by purpose and then attention's scratch; their sum. */
static double fullest_rank(const Session *session, double bytes[PURPOSE_COUNT + 1])
{
    const Group *world = &session->grid->world;
    double total = 0.0, most, lowest;
    for (int p = 0; p < PURPOSE_COUNT; p++)
        bytes[p] = (double)arena_bytes(session->arena, (Purpose)p);
    bytes[PURPOSE_COUNT] = (double)session->device->scratch_bytes;
    for (int p = 0; p <= PURPOSE_COUNT; p++) total += bytes[p];
    most = total;
    group_max_double(world, &most, 1);
    lowest = total == most ? -world->rank : -world->size;
    group_max_double(world, &lowest, 1);
    group_broadcast(world, bytes, (PURPOSE_COUNT + 1) * sizeof *bytes, (int)-lowest);
    return most;
}

Status session_seal(Session *session)
{
    const Group *world = &session->grid->world;
    PAL_TRY(group_agree(world, arena_seal(session->arena)));

    double bytes[PURPOSE_COUNT + 1], total = fullest_rank(session, bytes);
    char line[512] = "";
    for (int p = 0; p < PURPOSE_COUNT; p++) {
        size_t used = strlen(line);
        if (bytes[p] > 0.0)
            snprintf(line + used, sizeof line - used, "%s %s %.1f", used > 0 ? "," : "",
                     purpose_name((Purpose)p), bytes[p] / MEBIBYTE);
    }
    log_info("memory per rank%s: %.1f MiB:%s, attention scratch %.1f",
             world->size > 1 ? ", at most" : "", total / MEBIBYTE, line,
             bytes[PURPOSE_COUNT] / MEBIBYTE);
    return PAL_OK;
}

void session_stop(Session *session)
{
    arena_destroy(&session->arena);
    device_destroy(&session->device);
}
