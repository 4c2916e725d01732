/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/bench_saves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/base/statistics.h"
#include "src/base/timer.h"
#include "src/run/machine.h"
#include "src/run/skipping.h"

enum {
    SAVES = 5,
    UPDATES_BESIDE = 3, /* as many before a save and after it */
    PLAIN_BLOCK = 64 * 1024 * 1024
};

typedef struct Bench {
    Training *training;
    Saving *saving;
    const char *folder;
    char *buffers[2]; /* of own_bytes, and one more, so that there always is one */
    size_t own_bytes; /* of a checkpoint, this rank's */
} Bench;

/* One number of each save. */
typedef struct SaveTimes {
    double copy[SAVES];    /* seconds of a plain copy, of the slowest rank */
    double stalled[SAVES]; /* that training waited, beside what updates take longer */
    double waits[SAVES];   /* stalled / copy */
    double longer[SAVES];  /* an update while a thread writes / the mean of before and after */
    double seconds[SAVES]; /* until the file has its name */
    double plain[SAVES];   /* seconds of a plain write of as many bytes */
    double share[SAVES];   /* plain / seconds, the part of a plain write's rate */
    int64_t updates;       /* made while threads wrote, in all saves */
} SaveTimes;

static Status list_files(const char *folder, CheckpointList *list)
{
    PAL_TRY(checkpoint_list(folder, list));
    if (list->count > 0)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s has checkpoints (%s), which saves for timing would push out; give another "
                 "folder",
                 folder, list->paths[0]);
    return PAL_OK;
}

Status bench_saves_check(const Group *world, const char *folder)
{
    CheckpointList list = {0};
    Status status = group_is_root(world) ? list_files(folder, &list) : PAL_OK;
    checkpoint_list_free(&list);
    return group_agree(world, status);
}

/* Local, by one rank. */
static void remove_files(const char *folder)
{
    CheckpointList list;
    char path[PAL_PATH_SIZE + 32];
    if (checkpoint_list(folder, &list) != PAL_OK) return;
    for (int i = 0; i < list.count; i++) unlink(list.paths[i]);
    checkpoint_list_free(&list);
    snprintf(path, sizeof path, "%s/checkpoints/latest", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/checkpoints", folder);
    rmdir(path);
}

static const Group *world_of(const Bench *b) { return &b->training->session->grid->world; }

/* From where a save takes its bytes to where it puts them there are as many as this. */
static double time_copy(const Bench *b)
{
    const Group *world = world_of(b);
    group_barrier(world);
    double start = timer_seconds();
    memcpy(b->buffers[0], b->buffers[1], b->own_bytes);
    double seconds = timer_seconds() - start;
    group_max_double(world, &seconds, 1);
    return seconds;
}

/* As `dd conv=fsync` does it: one process, one block after another, and at the end all of it is on
 * the disk. */
static Status write_plain(const char *path, const char *block, size_t block_bytes, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    bool good = file != NULL && setvbuf(file, NULL, _IONBF, 0) == 0;
    for (size_t done = 0; good && done < bytes; done += block_bytes) {
        size_t part = bytes - done < block_bytes ? bytes - done : block_bytes;
        good = fwrite(block, 1, part, file) == part;
    }
    good = good && fsync(fileno(file)) == 0;
    if (file != NULL) good = fclose(file) == 0 && good;
    if (good) return PAL_OK;
    PAL_FAIL(PAL_ERROR_IO, "%s: a plain write of %zu bytes: %s", path, bytes, strerror(errno));
}

/* By the root, while the others wait. */
static Status time_plain(const Bench *b, double *seconds)
{
    const Group *world = world_of(b);
    size_t block = b->own_bytes + 1 < PLAIN_BLOCK ? b->own_bytes + 1 : PLAIN_BLOCK;
    char path[PAL_PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/plain-write", b->folder);
    Status status = PAL_OK;
    double start = timer_seconds();
    if (group_is_root(world)) {
        status = write_plain(path, b->buffers[0], block, (size_t)saver_bytes(b->saving->saver));
        *seconds = timer_seconds() - start;
        unlink(path);
    }
    group_broadcast(world, seconds, sizeof *seconds, 0);
    return group_agree(world, status);
}

static Status time_updates(Training *t, int count, double *seconds)
{
    UpdateReport report;
    *seconds = 0.0;
    for (int i = 0; i < count; i++) {
        PAL_TRY(skipping_refuse(t, &report));
        *seconds += report.seconds / count;
    }
    return PAL_OK;
}

/* Updates that ended while threads were writing; the mean of their seconds, 0 where there was none.
 */
static Status updates_meanwhile(Training *t, CheckpointSaver *saver, CheckpointOutcome *outcome,
                                int64_t *count, double *seconds)
{
    double sum = 0.0;
    *count = 0;
    while (!saver_poll(saver, outcome)) {
        UpdateReport report;
        PAL_TRY(skipping_refuse(t, &report));
        if (saver_poll(saver, outcome)) break;
        sum += report.seconds;
        ++*count;
    }
    *seconds = *count > 0 ? sum / (double)*count : 0.0;
    return PAL_OK;
}

/* What it is compared with is timed just before it: an asynchronous one with updates and a copy, a
 * synchronous one with a plain write. */
static Status time_save(const Bench *b, int number, SaveTimes *times)
{
    CheckpointSaver *saver = b->saving->saver;
    const Group *world = world_of(b);
    double before = 0.0, meanwhile, after = 0.0, plain = 0.0;
    bool async = saver_is_async(saver);
    int64_t count;
    CheckpointOutcome outcome;
    if (async) {
        PAL_TRY(time_updates(b->training, UPDATES_BESIDE, &before));
        times->copy[number] = time_copy(b);
    } else {
        PAL_TRY(time_plain(b, &plain));
    }
    const CheckpointState state = saving_state(b->saving);
    group_barrier(world);
    saver_begin(saver, &state);
    PAL_TRY(updates_meanwhile(b->training, saver, &outcome, &count, &meanwhile));
    if (outcome.status != PAL_OK) {
        status_set_message(outcome.message);
        return outcome.status;
    }
    if (async) PAL_TRY(time_updates(b->training, UPDATES_BESIDE, &after));
    double figures[] = {outcome.stalled, outcome.seconds};
    group_max_double(world, figures, 2);
    times->stalled[number] = figures[0];
    times->seconds[number] = figures[1];
    times->plain[number] = plain;
    times->share[number] = plain / figures[1];
    times->waits[number] = async ? figures[0] / times->copy[number] : 0.0;
    times->longer[number] = count > 0 ? 2.0 * meanwhile / (before + after) : 1.0;
    times->updates += count;
    return PAL_OK;
}

static void print_times(const Bench *b, SaveTimes *times)
{
    static const char *const ways[] = {"direct", "independent", "collective"};
    const CheckpointConfig *options = &b->training->session->config.checkpoint;
    double size = saver_bytes(b->saving->saver) / MEBIBYTE;
    bool async = saver_is_async(b->saving->saver);
    double seconds = statistics_median(times->seconds, SAVES);
    char component[64];
    shared_file_component(options->transfer, component);
    log_info("saves: %.1f MiB, %s, %s%s%s: %.2f s, %.0f MiB/s (medians of %d)", size,
             async ? "asynchronous" : "synchronous", ways[options->transfer],
             component[0] != '\0' ? " by " : "", component, seconds, size / seconds, SAVES);
    if (async)
        log_info("saves: training waits %.3f s, %.2f times a plain copy of the bytes (%.3f s); "
                 "an update meanwhile takes %.2f times as long (%lld of them)",
                 statistics_median(times->stalled, SAVES), statistics_median(times->waits, SAVES),
                 statistics_median(times->copy, SAVES), statistics_median(times->longer, SAVES),
                 (long long)times->updates);
    else
        log_info(
            "saves: %.2f of the rate of a plain write with fsync just before each (%.0f MiB/s)",
            statistics_median(times->share, SAVES), size / statistics_median(times->plain, SAVES));
}

static char *filled_buffer(size_t bytes, int value)
{
    char *buffer = fatal_calloc(bytes + 1, 1, "a plain copy");
    memset(buffer, value, bytes);
    return buffer;
}

Status bench_saves(Training *t, Saving *saving, const char *folder)
{
    SaveTimes *found = fatal_calloc(1, sizeof *found, "times of saves");
    size_t bytes = saver_own_bytes(saving->saver);
    Bench b = {t, saving, folder, {filled_buffer(bytes, 1), filled_buffer(bytes, 2)}, bytes};
    Status status =
        group_agree(world_of(&b), group_is_root(world_of(&b)) ? make_folders(folder) : PAL_OK);
    for (int i = 0; i < SAVES && status == PAL_OK; i++) {
        status = time_save(&b, i, found);
        log_progress("save %d of %d", i + 1, SAVES);
    }
    if (status == PAL_OK) print_times(&b, found);
    CheckpointOutcome left; /* an update has failed while one was under way */
    (void)saver_wait(saving->saver, &left);
    if (group_is_root(world_of(&b))) remove_files(folder);
    free(b.buffers[0]);
    free(b.buffers[1]);
    free(found);
    return status;
}
