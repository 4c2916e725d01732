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

/* The update of "step-00001000.h5"; -1 for any other name. */
static int64_t update_of(const char *name)
{
    long long update;
    int end = 0;
    if (sscanf(name, "step-%lld.h5%n", &update, &end) != 1 || end == 0 || name[end] != '\0')
        return -1;
    return update;
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

Status checkpoint_announce(const char *run, int64_t update, int keep)
{
    char latest[PAL_PATH_SIZE], name[48];
    PAL_TRY(join(run, "checkpoints/latest", latest));
    step_name(update, name);
    PAL_TRY(publish_link(strchr(name, '/') + 1, latest));
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
