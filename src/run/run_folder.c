/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/run_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "io/checkpoint.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"

static Status choose_name(const char *wanted, const char *config_path, char folder[PAL_PATH_SIZE])
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

static Status refuse_other_run(const char *folder)
{
    char found[PAL_PATH_SIZE];
    struct stat is;
    bool there = stat(folder, &is) == 0 && S_ISDIR(is.st_mode);
    if (!there || checkpoint_find(folder, found) != PAL_OK) return PAL_OK;
    PAL_FAIL(PAL_ERROR_CANT_CREATE,
             "%s holds a run already (%s); give another folder with --run, or remove it", folder,
             found);
}

static Status write_config(const Config *config, const char *folder)
{
    char path[PAL_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/config.ini", folder);
    FILE *file = fopen(path, "w");
    if (file == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%s: cannot be written: %s", path, strerror(errno));
    int reason = 0;
    if (config_write(config, file) != PAL_OK) reason = errno != 0 ? errno : EIO;
    if (fclose(file) != 0 && reason == 0) reason = errno;
    if (reason != 0) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be written: %s", path, strerror(reason));
    return PAL_OK;
}

static Status create_folders(const char *folder, const char *checkpoints)
{
    PAL_TRY(refuse_other_run(folder));
    return make_folders(checkpoints);
}

static Status create_files(const Session *session, const char *folder, Metrics **metrics)
{
    char path[PAL_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/metrics.jsonl", folder);
    PAL_TRY(metrics_open(metrics, path, false)); /* first: it keeps out a second run */
    PAL_TRY(write_config(&session->config, folder));
    snprintf(path, sizeof path, "%s/log.txt", folder);
    return log_open_file(path);
}

Status run_folder_create(const Session *session, const char *wanted, const char *config_path,
                         char folder[PAL_PATH_SIZE], Metrics **metrics)
{
    const Group *world = &session->grid->world;
    char checkpoints[PAL_PATH_SIZE + 32];
    PAL_TRY(choose_name(wanted, config_path, folder)); /* every rank the same */
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", folder);
    PAL_TRY(
        group_agree(world, group_is_root(world) ? create_folders(folder, checkpoints) : PAL_OK));
    PAL_TRY(publish_seen(checkpoints, world));
    return group_agree(world,
                       group_is_root(world) ? create_files(session, folder, metrics) : PAL_OK);
}
