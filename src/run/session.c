/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/session.h"

#include <stdio.h>
#include <string.h>

#include "mpi/collectives.h"
#include "mpi/staging.h"
#include "src/base/log.h"
#include "src/run/cores.h"
#include "src/run/device_choice.h"
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
                            const TextList *sets, bool trains)
{
    *session = (Session){.grid = grid};
    Status status = PAL_OK;
    if (group_is_root(&grid->world))
        status = config_parse_text(&session->config, text, name, sets->texts, sets->count);
    return share_config(session, status, !trains);
}

/* With exact phases the device ends its work of one phase before the clock is read for the next. */
static void change_phase(void *context, const char *name)
{
    const Session *session = context;
    Device *device = session->device;
    if (session->exact_phases) device->op->synchronize(device);
    device->op->enter_phase(device, name);
}

Status session_start(Session *session)
{
    const Config *config = &session->config;
    Grid *grid = session->grid;
    Cores cores = cores_take(grid, config->parallel.threads, config->parallel.bind);
    const char *why;
    char ranks[320];
    Status status =
        device_choice_take(grid, config->device.name, cores.threads, &session->device, &why);
    if (status == PAL_OK) status = arena_create(&session->arena, session->device);
    PAL_TRY(group_agree(&grid->world, status));
    PAL_TRY(grid_use_device(grid, session->device, session->arena, config->device.mpi));
    session->times = (PhaseTimes){.change = change_phase, .context = session};
    session->device->times = &session->times;
    device_choice_describe(grid, session->device, &cores, ranks, sizeof ranks);
    session->product_rate = group_mean_double(
        &grid->world, machine_product_rate(session->device, config->train.type, 3));
    log_info("device: %s (%s), %s, %.1f GFLOP/s per rank in a %s", session->device->op->name, why,
             ranks, session->product_rate * 1e-9, machine_product_name(config->train.type));
    return PAL_OK;
}

/* Behind the bytes by purpose: of what operations hold for themselves, and of all that the GPU has. */
enum { BYTES_SCRATCH = PURPOSE_COUNT, BYTES_ON_GPU, NUM_BYTES };

/* The bytes of the rank that takes most; their sum. */
static double fullest_rank(const Session *session, double bytes[NUM_BYTES])
{
    const Group *world = &session->grid->world;
    double total = 0.0, most, lowest;
    for (int p = 0; p < PURPOSE_COUNT; p++)
        bytes[p] = (double)arena_bytes(session->arena, (Purpose)p);
    bytes[BYTES_SCRATCH] = (double)session->device->scratch_bytes;
    for (int p = 0; p <= BYTES_SCRATCH; p++) total += bytes[p];
    bytes[BYTES_ON_GPU] = (double)arena_device_bytes(session->arena) + bytes[BYTES_SCRATCH];
    most = total;
    group_max_double(world, &most, 1);
    lowest = total == most ? -world->rank : -world->size;
    group_max_double(world, &lowest, 1);
    group_broadcast(world, bytes, NUM_BYTES * sizeof *bytes, (int)-lowest);
    return most;
}

static void report_memory(const Session *session)
{
    double bytes[NUM_BYTES], total = fullest_rank(session, bytes);
    char line[512] = "", on_gpu[64] = "";
    for (int p = 0; p < PURPOSE_COUNT; p++) {
        size_t used = strlen(line);
        if (bytes[p] > 0.0)
            snprintf(line + used, sizeof line - used, "%s %s %.1f", used > 0 ? "," : "",
                     purpose_name((Purpose)p), bytes[p] / MEBIBYTE);
    }
    if (!session->device->shares_memory)
        snprintf(on_gpu, sizeof on_gpu, ", %.1f of it on the GPU", bytes[BYTES_ON_GPU] / MEBIBYTE);
    log_info("memory per rank%s: %.1f MiB%s:%s, scratch of operations %.1f",
             session->grid->world.size > 1 ? ", at most" : "", total / MEBIBYTE, on_gpu, line,
             bytes[BYTES_SCRATCH] / MEBIBYTE);
}

Status session_seal(Session *session)
{
    PAL_TRY(group_agree(&session->grid->world, arena_seal(session->arena)));
    report_memory(session);
    return PAL_OK;
}

void session_stop(Session *session)
{
    if (session->grid != NULL) grid_forget_device(session->grid);
    arena_destroy(&session->arena);
    device_destroy(&session->device);
}
