/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint_files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/checkpoint.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"

static Status join(const char *folder, const char *name, char path[PAL_PATH_SIZE])
{
    int length = snprintf(path, PAL_PATH_SIZE, "%s/%s", folder, name);
    if (length < 0 || length >= PAL_PATH_SIZE)
        PAL_FAIL(PAL_ERROR_CANT_CREATE, "%.60s...: the name is longer than %d characters", folder,
                 PAL_PATH_SIZE - 1);
    return PAL_OK;
}

static void step_name(int64_t update, char name[48])
{
    snprintf(name, 48, "checkpoints/step-%08lld.h5", (long long)update);
}

Status checkpoint_name(const char *run, int64_t update, char path[PAL_PATH_SIZE])
{
    char name[48];
    step_name(update, name);
    return join(run, name, path);
}

/* The update of "step-00001000.h5"; -1 for any name that step_name() does not give. */
static int64_t update_of(const char *name)
{
    long long update;
    char given[48];
    if (sscanf(name, "step-%lld.h5", &update) != 1 || update < 0) return -1;
    step_name(update, given);
    return strcmp(name, strchr(given, '/') + 1) == 0 ? update : -1;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* The updates of all step files of a folder, newest first; the caller frees. NULL when none. */
static int64_t *list_updates(const char *folder, int *count)
{
    *count = 0;
    DIR *entries = opendir(folder);
    if (entries == NULL) return NULL;
    int64_t *updates = NULL;
    struct dirent *entry;
    while ((entry = readdir(entries)) != NULL) {
        int64_t update = update_of(entry->d_name);
        if (update < 0) continue;
        int64_t *grown = realloc(updates, (size_t)(*count + 1) * sizeof *grown);
        if (grown == NULL) break;
        updates = grown;
        updates[(*count)++] = update;
    }
    closedir(entries);
    if (*count > 0) qsort(updates, (size_t)*count, sizeof *updates, newest_first);
    return updates;
}

static void prune(const char *run, int64_t newest, int keep)
{
    char folder[PAL_PATH_SIZE], path[PAL_PATH_SIZE];
    if (join(run, "checkpoints", folder) != PAL_OK) return;
    int count, kept = 0;
    int64_t *updates = list_updates(folder, &count);
    for (int i = 0; i < count; i++) {
        if (updates[i] > newest || kept++ < keep) continue;
        if (checkpoint_name(run, updates[i], path) == PAL_OK && unlink(path) != 0)
            log_warn("%s: an old checkpoint cannot be removed: %s", path, strerror(errno));
    }
    free(updates);
}

static Status point_latest(const char *run, int64_t update)
{
    char latest[PAL_PATH_SIZE], name[48];
    PAL_TRY(join(run, "checkpoints/latest", latest));
    step_name(update, name);
    return publish_link(strchr(name, '/') + 1, latest);
}

Status checkpoint_announce(const char *run, int64_t update, int keep)
{
    PAL_TRY(point_latest(run, update));
    prune(run, update, keep);
    return PAL_OK;
}

static bool is_file(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

/* What folder/latest points to, by its own name; else the highest step. */
static bool find_in_folder(const char *folder, char found[PAL_PATH_SIZE])
{
    char latest[PAL_PATH_SIZE], target[PAL_PATH_SIZE];
    if (join(folder, "latest", latest) != PAL_OK) return false;
    ssize_t length = readlink(latest, target, sizeof target - 1);
    if (length > 0) {
        target[length] = '\0';
        if (join(folder, target, found) == PAL_OK && is_file(found)) return true;
        log_warn("%s: points to %s, which is not there; taking the highest step", latest, target);
    }
    int count;
    int64_t *updates = list_updates(folder, &count);
    char name[48];
    bool good = false;
    if (count > 0) {
        step_name(updates[0], name);
        good = join(folder, strchr(name, '/') + 1, found) == PAL_OK;
    }
    free(updates);
    return good;
}

Status checkpoint_find(const char *path, char found[PAL_PATH_SIZE])
{
    struct stat what;
    if (stat(path, &what) != 0)
        PAL_FAIL(PAL_ERROR_NO_INPUT, "%s: no such checkpoint or run folder: %s", path,
                 strerror(errno));
    if (!S_ISDIR(what.st_mode)) {
        if (strlen(path) >= PAL_PATH_SIZE)
            PAL_FAIL(PAL_ERROR_NO_INPUT, "%.60s...: the name is too long", path);
        snprintf(found, PAL_PATH_SIZE, "%s", path);
        return PAL_OK;
    }
    char checkpoints[PAL_PATH_SIZE];
    PAL_TRY(join(path, "checkpoints", checkpoints));
    if (find_in_folder(checkpoints, found) || find_in_folder(path, found)) return PAL_OK;
    PAL_FAIL(PAL_ERROR_NO_INPUT,
             "%s: has no checkpoint; looked for latest and step-*.h5 there and in checkpoints/",
             path);
}

Status checkpoint_find_for(const Group *group, const char *path, char found[PAL_PATH_SIZE])
{
    Status status = group_is_root(group) ? checkpoint_find(path, found) : PAL_OK;
    PAL_TRY(group_agree(group, status));
    group_broadcast(group, found, PAL_PATH_SIZE, 0);
    return PAL_OK;
}

/* --- what a run can go on from ---------------------------------------------------------------- */

static Status add_path(CheckpointList *list, const char *run, int64_t update)
{
    char(*grown)[PAL_PATH_SIZE] = realloc(list->paths, (size_t)(list->count + 1) * sizeof *grown);
    if (grown == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for a list of checkpoints", run);
    list->paths = grown;
    return checkpoint_name(run, update, list->paths[list->count++]);
}

/* The update that RUN/checkpoints/latest points to, or the highest one. */
static int64_t latest_update(const char *folder, const int64_t *updates, int count)
{
    char latest[PAL_PATH_SIZE], target[PAL_PATH_SIZE];
    if (join(folder, "latest", latest) != PAL_OK) return updates[0];
    ssize_t length = readlink(latest, target, sizeof target - 1);
    if (length <= 0) return updates[0];
    target[length] = '\0';
    int64_t update = update_of(target);
    for (int i = 0; i < count; i++)
        if (updates[i] == update) return update;
    log_warn("%s: points to %s, which is not there; taking the highest step", latest, target);
    return updates[0];
}

Status checkpoint_list(const char *run, CheckpointList *list)
{
    char folder[PAL_PATH_SIZE];
    int count;
    *list = (CheckpointList){0};
    PAL_TRY(join(run, "checkpoints", folder));
    int64_t *updates = list_updates(folder, &count);
    if (count == 0) return PAL_OK;
    int64_t latest = latest_update(folder, updates, count);
    Status status = PAL_OK;
    for (int later = 0; later < 2; later++)
        for (int i = 0; i < count && status == PAL_OK; i++)
            if ((updates[i] > latest) == later) status = add_path(list, run, updates[i]);
    free(updates);
    return status;
}

void checkpoint_go_on_from(const char *run, int64_t update)
{
    CheckpointList list;
    char path[PAL_PATH_SIZE];
    if (checkpoint_name(run, update, path) != PAL_OK || checkpoint_list(run, &list) != PAL_OK)
        return;
    bool first = list.count > 0 && strcmp(list.paths[0], path) == 0;
    checkpoint_list_free(&list);
    if (!first && point_latest(run, update) != PAL_OK) log_warn("%s", status_message());
}

void checkpoint_list_free(CheckpointList *list)
{
    free(list->paths);
    *list = (CheckpointList){0};
}

/* "step-00001000.h5.part", or a pointer that was not moved into place. */
static bool is_left_over(const char *name)
{
    char final[64];
    size_t length = strlen(name), end = strlen(".part");
    if (strcmp(name, "latest.part") == 0) return true;
    if (length <= end || length - end >= sizeof final || strcmp(name + length - end, ".part") != 0)
        return false;
    snprintf(final, sizeof final, "%.*s", (int)(length - end), name);
    return update_of(final) >= 0;
}

void checkpoint_clean(const char *run)
{
    char folder[PAL_PATH_SIZE], path[PAL_PATH_SIZE];
    if (join(run, "checkpoints", folder) != PAL_OK) return;
    DIR *entries = opendir(folder);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        if (!is_left_over(entry->d_name) || join(folder, entry->d_name, path) != PAL_OK) continue;
        if (unlink(path) == 0)
            log_info("removed %s, which a killed run had begun to write", path);
        else
            log_warn("%s: what a killed run has left cannot be removed: %s", path, strerror(errno));
    }
    if (entries != NULL) closedir(entries);
}
