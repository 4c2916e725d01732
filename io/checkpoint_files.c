/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint_files.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
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

/* After the names of files that a run has gone back from by itself. */
static const char rewound[] = ".rewound";

static void step_name(int64_t update, char name[48])
{
    snprintf(name, 48, "step-%08lld.h5", (long long)update);
}

/* folder/step-00001000.h5, where `folder` is RUN/checkpoints or another with such files. */
static Status step_path(const char *folder, int64_t update, char path[PAL_PATH_SIZE])
{
    char name[48];
    step_name(update, name);
    return join(folder, name, path);
}

Status checkpoint_name(const char *run, int64_t update, char path[PAL_PATH_SIZE])
{
    char folder[PAL_PATH_SIZE];
    PAL_TRY(join(run, "checkpoints", folder));
    return step_path(folder, update, path);
}

/* The update of "step-00001000.h5" with this after it; -1 for any name that step_name() does not
 * give. */
static int64_t update_of(const char *name, const char *suffix)
{
    long long update;
    char given[48];
    if (sscanf(name, "step-%lld.h5", &update) != 1 || update < 0) return -1;
    step_name(update, given);
    size_t length = strlen(given);
    bool same = strncmp(name, given, length) == 0 && strcmp(name + length, suffix) == 0;
    return same ? update : -1;
}

int64_t checkpoint_update_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return update_of(slash == NULL ? path : slash + 1, "");
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Also what cannot be looked at: whoever opens it will say why. */
static bool is_file(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? S_ISREG(found.st_mode) : errno != ENOENT;
}

typedef struct Updates {
    int64_t *list; /* newest first */
    int count;
} Updates;

static Status add_update(Updates *found, const char *folder, const char *name, const char *suffix)
{
    char path[PAL_PATH_SIZE];
    int64_t update = update_of(name, suffix);
    if (update < 0 || join(folder, name, path) != PAL_OK || !is_file(path)) return PAL_OK;
    int64_t *grown = realloc(found->list, (size_t)(found->count + 1) * sizeof *grown);
    if (grown == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "%s: no memory for a list of checkpoints", folder);
    found->list = grown;
    found->list[found->count++] = update;
    return PAL_OK;
}

/* The updates of all step files of a folder that have this after their names, none where there is
 * no folder; the caller frees the list also after a failure. A folder that cannot be read is no
 * empty one: a run would begin anew over its own checkpoints. */
static Status list_updates(const char *folder, const char *suffix, Updates *found)
{
    *found = (Updates){0};
    DIR *entries = opendir(folder);
    if (entries == NULL && (errno == ENOENT || errno == ENOTDIR)) return PAL_OK;
    Status status = PAL_OK;
    struct dirent *entry;
    while (entries != NULL && status == PAL_OK && (errno = 0, entry = readdir(entries)) != NULL)
        status = add_update(found, folder, entry->d_name, suffix);
    if (status == PAL_OK && errno != 0)
        status = PAL_FAILURE(PAL_ERROR_NO_INPUT,
                             "%s: which checkpoints are there cannot be read: %s; try again when "
                             "the folder can be listed",
                             folder, strerror(errno));
    if (entries != NULL) closedir(entries);
    if (found->count > 0)
        qsort(found->list, (size_t)found->count, sizeof *found->list, newest_first);
    return status;
}

/* A list to tidy up by: empty, with a warning, where the folder cannot be read. */
static Updates updates_of(const char *folder, const char *suffix)
{
    Updates updates;
    if (list_updates(folder, suffix, &updates) != PAL_OK) {
        log_warn("%s; old checkpoints stay", status_message());
        updates.count = 0;
    }
    return updates;
}

static void remove_step(const char *folder, int64_t update, const char *suffix)
{
    char path[PAL_PATH_SIZE], name[48], full[64];
    step_name(update, name);
    snprintf(full, sizeof full, "%s%s", name, suffix);
    if (join(folder, full, path) == PAL_OK && unlink(path) != 0)
        log_warn("%s: an old checkpoint cannot be removed: %s", path, strerror(errno));
}

static void prune(const char *run, int64_t newest, int keep, int64_t scheduled)
{
    char folder[PAL_PATH_SIZE];
    int kept = 0;
    if (join(run, "checkpoints", folder) != PAL_OK) return;
    Updates updates = updates_of(folder, "");
    for (int i = 0; i < updates.count; i++) {
        if (updates.list[i] > newest || kept++ < keep || updates.list[i] == scheduled) continue;
        remove_step(folder, updates.list[i], "");
    }
    free(updates.list);
    if (kept < keep) return;
    updates = updates_of(folder, rewound);
    for (int i = 0; i < updates.count; i++) remove_step(folder, updates.list[i], rewound);
    free(updates.list);
}

/* A name that nothing has: with this after it, or this and a number. */
static void free_name(const char *path, const char *suffix, char *name, size_t size)
{
    struct stat found;
    snprintf(name, size, "%s%s", path, suffix);
    for (int number = 2; lstat(name, &found) == 0; number++)
        snprintf(name, size, "%s%s.%d", path, suffix, number);
}

/* Files of later updates get this after their names; the newest first, so that those which still
 * have theirs are the run's own, wherever this is killed. replaces: what has such a name already,
 * else it is kept and the names get a number. */
static void leave_later(const char *run, int64_t update, const char *suffix, bool replaces)
{
    char folder[PAL_PATH_SIZE], path[PAL_PATH_SIZE], left[PAL_PATH_SIZE + 32];
    if (join(run, "checkpoints", folder) != PAL_OK) return;
    Updates updates = updates_of(folder, "");
    for (int i = 0; i < updates.count && updates.list[i] > update; i++) {
        if (step_path(folder, updates.list[i], path) != PAL_OK) continue;
        if (replaces)
            snprintf(left, sizeof left, "%s%s", path, suffix);
        else
            free_name(path, suffix, left, sizeof left);
        if (rename(path, left) == 0)
            log_info("%s is of updates that the run has gone back from; it is called %s now", path,
                     left);
        else
            log_warn("%s: is of updates that the run has gone back from and cannot be renamed: %s",
                     path, strerror(errno));
    }
    free(updates.list);
}

void checkpoint_rewind(const char *run, int64_t update) { leave_later(run, update, rewound, true); }

/* Where the pointer cannot be moved, none is better than one to an earlier checkpoint: then the
 * highest step is taken. */
static void point_latest(const char *run, int64_t update)
{
    char latest[PAL_PATH_SIZE], name[48];
    if (join(run, "checkpoints/latest", latest) != PAL_OK) return;
    step_name(update, name);
    if (publish_link(name, latest) == PAL_OK) return;
    unlink(latest);
    log_warn("%s; without it the highest step counts as the latest", status_message());
}

void checkpoint_announce(const char *run, int64_t update, int keep, int64_t scheduled)
{
    point_latest(run, update);
    prune(run, update, keep, scheduled);
}

/* The update of the file that folder/latest points to, else (with a warning where there is a
 * pointer) the highest one. */
static int64_t latest_update(const char *folder, const Updates *updates)
{
    char latest[PAL_PATH_SIZE], target[PAL_PATH_SIZE], path[PAL_PATH_SIZE];
    if (join(folder, "latest", latest) != PAL_OK) return updates->list[0];
    ssize_t length = readlink(latest, target, sizeof target - 1);
    if (length <= 0) return updates->list[0];
    target[length] = '\0';
    for (int i = 0; i < updates->count; i++)
        if (step_path(folder, updates->list[i], path) == PAL_OK && publish_same_file(latest, path))
            return updates->list[i];
    log_warn("%s: points to %s, which is not there; taking the highest step", latest, target);
    return updates->list[0];
}

/* *found stays empty where the folder has none. */
static Status find_in_folder(const char *folder, char found[PAL_PATH_SIZE])
{
    Updates updates;
    found[0] = '\0';
    Status status = list_updates(folder, "", &updates);
    if (status == PAL_OK && updates.count > 0)
        status = step_path(folder, latest_update(folder, &updates), found);
    free(updates.list);
    return status;
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
    PAL_TRY(find_in_folder(checkpoints, found));
    if (found[0] == '\0') PAL_TRY(find_in_folder(path, found));
    if (found[0] != '\0') return PAL_OK;
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

Status checkpoint_list(const char *run, CheckpointList *list)
{
    char folder[PAL_PATH_SIZE];
    Updates updates;
    *list = (CheckpointList){0};
    PAL_TRY(join(run, "checkpoints", folder));
    Status status = list_updates(folder, "", &updates);
    for (int i = 0; i < updates.count && status == PAL_OK; i++)
        status = add_path(list, run, updates.list[i]);
    free(updates.list);
    return status;
}

Status checkpoint_check_none_lost(const char *run)
{
    char latest[PAL_PATH_SIZE], target[PAL_PATH_SIZE];
    PAL_TRY(join(run, "checkpoints/latest", latest));
    ssize_t length = readlink(latest, target, sizeof target);
    if (length <= 0) return PAL_OK;
    PAL_FAIL(PAL_ERROR_NO_INPUT,
             "%s: points to %.*s, and there is no checkpoint at all; put it back, begin anew with "
             "--resume none, or give another folder with --run",
             latest, (int)length, target);
}

void checkpoint_forget_latest(const char *run)
{
    char latest[PAL_PATH_SIZE];
    if (join(run, "checkpoints/latest", latest) == PAL_OK) unlink(latest);
}

bool checkpoint_same_list(const CheckpointList *a, const CheckpointList *b)
{
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->paths[i], b->paths[i]) != 0) return false;
    return true;
}

void checkpoint_go_on_from(const char *run, int64_t update)
{
    char path[PAL_PATH_SIZE], latest[PAL_PATH_SIZE], target[PAL_PATH_SIZE];
    leave_later(run, update, ".left", false);
    if (checkpoint_name(run, update, path) != PAL_OK ||
        join(run, "checkpoints/latest", latest) != PAL_OK || publish_same_file(latest, path))
        return;
    ssize_t length = readlink(latest, target, sizeof target - 1);
    if (length > 0)
        log_info("%s: points to %.*s; the run goes on from %s", latest, (int)length, target, path);
    point_latest(run, update);
}

void checkpoint_list_free(CheckpointList *list)
{
    free(list->paths);
    *list = (CheckpointList){0};
}

void checkpoint_set_aside(const char *path)
{
    char aside[PAL_PATH_SIZE + 32];
    free_name(path, ".unusable", aside, sizeof aside);
    if (rename(path, aside) != 0)
        log_warn("%s: cannot be set aside: %s", path, strerror(errno));
    else
        log_warn("set aside as %s", aside);
}

/* "step-00001000.h5.part" and what MPI-IO may have added to it, or a pointer that was not moved
 * into place. */
static bool is_left_over(const char *name)
{
    char final[64];
    const char *end = strstr(name, ".part");
    if (strcmp(name, "latest.part") == 0) return true;
    if (end == NULL || end - name >= (ptrdiff_t)sizeof final) return false;
    if (isalnum((unsigned char)end[strlen(".part")])) return false;
    snprintf(final, sizeof final, "%.*s", (int)(end - name), name);
    return update_of(final, "") >= 0;
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
