/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/run_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/checkpoint.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"

Status run_folder_name(const char *wanted, const char *config_path, char folder[PAL_PATH_SIZE])
{
    if (wanted != NULL && wanted[0] == '\0')
        PAL_FAIL(PAL_ERROR_USAGE, "train: --run is empty; give the name of a folder");
    const char *slash = strrchr(config_path, '/');
    const char *base = slash == NULL ? config_path : slash + 1;
    size_t length = strlen(base);
    if (length > 4 && strcmp(base + length - 4, ".ini") == 0) length -= 4;
    int needed = wanted != NULL ? snprintf(folder, PAL_PATH_SIZE, "%s", wanted)
                                : snprintf(folder, PAL_PATH_SIZE, "runs/%.*s", (int)length, base);
    if (needed >= PAL_PATH_SIZE - 64)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "the name of the run folder is too long");
    return PAL_OK;
}

static Status write_config(const Config *config, const char *folder)
{
    char path[PAL_PATH_SIZE + 32], temporary[PAL_PATH_SIZE + 48];
    snprintf(path, sizeof path, "%s/config.ini", folder);
    PAL_TRY(publish_temporary(path, temporary, sizeof temporary));
    FILE *file = fopen(temporary, "w");
    if (file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", temporary, strerror(errno));
    int reason = 0;
    if (config_write(config, file) != PAL_OK) reason = errno != 0 ? errno : EIO;
    if (fclose(file) != 0 && reason == 0) reason = errno;
    if (reason == 0) return publish_file(temporary, path);
    unlink(temporary);
    PAL_FAIL(PAL_ERROR_IO, "%s: cannot be written: %s", path, strerror(reason));
}

/* The metrics come first: they keep out a second run. */
static Status open_files(const char *folder, const Resume *resume, Metrics **metrics)
{
    char path[PAL_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    PAL_TRY(metrics_open(metrics, path));
    PAL_TRY(resume_check(resume, folder));
    snprintf(path, sizeof path, "%s/log.txt", folder);
    return log_open_file(path);
}

Status run_folder_open(const Grid *grid, const char *folder, const Resume *resume,
                       Metrics **metrics)
{
    const Group *world = &grid->world;
    bool root = group_is_root(world);
    char checkpoints[PAL_PATH_SIZE + 32];
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", folder);
    PAL_TRY(group_agree(world, root ? make_folders(checkpoints) : PAL_OK));
    PAL_TRY(publish_seen(checkpoints, world));
    return group_agree(world, root ? open_files(folder, resume, metrics) : PAL_OK);
}

/* The metrics come last: wherever this is killed they have all that the checkpoints have. */
static Status take_files(const Training *t, const char *folder, const Resume *resume,
                         Metrics *metrics)
{
    MetricsPlace place = {-1, -1, 0};
    if (resume->same_folder)
        place = (MetricsPlace){t->update, t->evaluated, t->bad_steps.history.rewinds};
    PAL_TRY(write_config(&t->session->config, folder));
    checkpoint_clean(folder);
    resume_take(resume, folder, t->update);
    return metrics_keep(metrics, place);
}

Status run_folder_take(const Training *training, const char *folder, const Resume *resume,
                       Metrics *metrics)
{
    const Group *world = &training->session->grid->world;
    bool root = group_is_root(world);
    return group_agree(world, root ? take_files(training, folder, resume, metrics) : PAL_OK);
}
