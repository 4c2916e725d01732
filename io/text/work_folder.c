/* SPDX-License-Identifier: Apache-2.0 */
#include "io/text/work_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/lock.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/log.h"

/* What this program writes there, by the beginnings of the names. */
static const char *const own_names[] = {"lock", "tokenizer", "unit-", "words-"};

static bool is_own(const char *name)
{
    for (size_t i = 0; i < sizeof own_names / sizeof *own_names; i++)
        if (strncmp(name, own_names[i], strlen(own_names[i])) == 0) return true;
    return false;
}

static Status take_lock(WorkFolder *folder)
{
    char path[PAL_PATH_SIZE + 8];
    snprintf(path, sizeof path, "%s/lock", folder->path);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (folder->lock < 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: cannot be created: %s; choose an output in a folder that you may write to",
                 path, strerror(errno));
    if (lock_is_taken(folder->lock))
        PAL_FAIL(PAL_ERROR_BUSY,
                 "%s: another process is writing there; wait for its end, or give another output",
                 folder->path);
    return PAL_OK;
}

static Status make(WorkFolder *folder)
{
    PAL_TRY(make_folders(folder->path));
    return take_lock(folder);
}

Status work_folder_open(WorkFolder *folder, const char *output, const Group *group)
{
    folder->lock = -1;
    int length = snprintf(folder->path, sizeof folder->path, "%s.work", output);
    if (length < 0 || (size_t)length >= sizeof folder->path)
        PAL_FAIL(PAL_ERROR_USAGE, "%.60s...: the name is too long", output);
    PAL_TRY(group_agree(group, group_is_root(group) ? make(folder) : PAL_OK));
    return publish_seen(folder->path, group);
}

/* Units and tokenizers that are ready. */
static int64_t count_ready(const WorkFolder *folder)
{
    static const char part[] = ".part";
    int64_t ready = 0;
    DIR *entries = opendir(folder->path);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        const char *name = entry->d_name;
        size_t length = strlen(name), ending = sizeof part - 1;
        bool whole = length < ending || strcmp(name + length - ending, part) != 0;
        ready += whole && (strncmp(name, "unit-", 5) == 0 || strcmp(name, "tokenizer") == 0);
    }
    if (entries != NULL) closedir(entries);
    return ready;
}

static void remove_own(const WorkFolder *folder)
{
    DIR *entries = opendir(folder->path);
    struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL)
        if (is_own(entry->d_name)) unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries != NULL) closedir(entries);
    if (rmdir(folder->path) != 0 && errno != ENOENT)
        log_warn("%s: cannot be removed: %s; nothing in it is needed any more", folder->path,
                 strerror(errno));
}

void work_folder_close(WorkFolder *folder, const Group *group, bool done)
{
    group_barrier(group); /* nobody reads there any more */
    int64_t ready = group_is_root(group) && !done ? count_ready(folder) : 0;
    if (group_is_root(group) && ready == 0) remove_own(folder);
    if (ready > 0)
        log_info("%s has what is ready; started again with the same arguments, prepare goes on "
                 "from there (to begin anew, remove the folder)",
                 folder->path);
    if (folder->lock >= 0) close(folder->lock);
    folder->lock = -1;
}
