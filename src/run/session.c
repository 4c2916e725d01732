/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/session.h"

#include <stdio.h>
#include <string.h>

#include "mpi/collectives.h"
#include "src/base/log.h"
#include "src/run/cores.h"
#include "src/run/machine.h"
#include "src/run/placing.h"

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

Status session_start(Session *session)
{
    const Config *config = &session->config;
    Grid *grid = session->grid;
    Cores cores = cores_take(grid, config->parallel.threads, config->parallel.bind);
    Status status = device_create_cpu(&session->device, cores.threads);
    if (status == PAL_OK) status = arena_create(&session->arena, session->device);
    PAL_TRY(group_agree(&grid->world, status));
    session->device->times = &session->times;
    session->product_rate =
        group_mean_double(&grid->world, machine_product_rate(session->device, 3));
    log_info(
        "device: %s (%s), %d rank%s x %d thread%s%s, %.1f GFLOP/s per rank in a 1024^3 product",
        session->device->op->name,
        config->device.name == DEVICE_AUTO ? "auto: this build has no other" : "as asked",
        grid->world.size, grid->world.size == 1 ? "" : "s", cores.threads,
        cores.threads == 1 ? "" : "s", cores.binding, session->product_rate * 1e-9);
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
