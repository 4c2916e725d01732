/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/apart_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "src/base/checked.h"
#include "src/base/fatal.h"

enum { MOST_TASKS = 1 << 17, MOST_HOST_BLOCKS = 1 << 10 };

static const size_t most_bytes = (size_t)1 << 30; /* addresses; pages come as they are used */

typedef enum TaskKind { TASK_COPY, TASK_ADD } TaskKind;

typedef struct Task {
    TaskKind kind;
    Real *to;
    const Real *from;
    int64_t to_stride, from_stride, blocks, length;
} Task;

/* Written down in order; those before `done` are done. */
typedef struct TaskList {
    Task *tasks;
    int64_t count, done;
} TaskList;

typedef struct Mark {
    int64_t operations, downloads;
} Mark;

typedef struct Apart {
    DeviceOps table;
    bool eager, open;
    char *memory; /* (most_bytes) of the device */
    size_t used;
    struct {
        char *start;
        size_t bytes;
    } host[MOST_HOST_BLOCKS];
    int num_host;
    TaskList operations, downloads;
    Mark marks[PAL_MARKS];
    int64_t last_mark;
} Apart;

static Apart *apart(Device *device) { return device->context; }

/* --- memory ----------------------------------------------------------------------------------- */

static void protect(const Apart *a, int protection)
{
    if (a->open || a->used == 0) return;
    if (mprotect(a->memory, a->used, protection) != 0) abort();
}

static void *apart_allocate(Device *device, size_t bytes)
{
    Apart *a = apart(device);
    size_t rounded = (bytes + 4095) / 4096 * 4096;
    if (rounded > most_bytes - a->used) return NULL;
    char *start = a->memory + a->used;
    a->used += rounded;
    protect(a, PROT_NONE);
    return start;
}

static void apart_release(Device *device, void *start)
{
    (void)device;
    (void)start; /* all together, with the device */
}

static void *apart_allocate_host(Device *device, size_t bytes)
{
    Apart *a = apart(device);
    PAL_ASSERT(a->num_host < MOST_HOST_BLOCKS);
    char *start = calloc(1, bytes);
    a->host[a->num_host].start = start;
    a->host[a->num_host++].bytes = bytes;
    return start;
}

static void apart_release_host(Device *device, void *start)
{
    Apart *a = apart(device);
    for (int i = 0; i < a->num_host; i++)
        if (a->host[i].start == start) a->host[i].bytes = 0;
    free(start);
}

static void expect_host(const Apart *a, const Real *start, int64_t count)
{
    const char *first = (const char *)start, *end = (const char *)(start + count);
    for (int i = 0; i < a->num_host; i++)
        if (first >= a->host[i].start && end <= a->host[i].start + a->host[i].bytes) return;
    fatal(PAL_ERROR_INTERNAL,
          "a copy of %lld numbers is begun with other memory than that of "
          "allocate_host",
          (long long)count);
}

/* --- tasks ------------------------------------------------------------------------------------ */

static void write_down(TaskList *list, Task task)
{
    if (list->count == MOST_TASKS) fatal(PAL_ERROR_INTERNAL, "too many tasks of a test's device");
    list->tasks[list->count++] = task;
}

static void run_task(const Task *task)
{
    for (int64_t block = 0; block < task->blocks; block++) {
        Real *to = task->to + block * task->to_stride;
        const Real *from = task->from + block * task->from_stride;
        if (task->kind == TASK_COPY)
            memmove(to, from, checked_size(task->length) * sizeof *to);
        else
            for (int64_t i = 0; i < task->length; i++) to[i] += from[i];
    }
}

static void run_until(TaskList *list, int64_t end)
{
    for (; list->done < end; list->done++) run_task(&list->tasks[list->done]);
}

static void run_mark(Apart *a, Mark mark)
{
    protect(a, PROT_READ | PROT_WRITE);
    run_until(&a->operations, a->eager ? a->operations.count : mark.operations);
    run_until(&a->downloads, mark.downloads);
    protect(a, PROT_NONE);
}

static Mark everything(const Apart *a) { return (Mark){a->operations.count, a->downloads.count}; }

static int64_t apart_mark(Device *device)
{
    Apart *a = apart(device);
    a->marks[++a->last_mark % PAL_MARKS] = everything(a);
    return a->last_mark;
}

static void apart_wait(Device *device, int64_t mark)
{
    Apart *a = apart(device);
    if (mark > a->last_mark || mark <= a->last_mark - PAL_MARKS)
        fatal(PAL_ERROR_INTERNAL, "mark %lld is waited for, the last one is %lld", (long long)mark,
              (long long)a->last_mark);
    run_mark(a, a->marks[mark % PAL_MARKS]);
}

static void apart_enter_phase(Device *device, const char *name)
{
    (void)device;
    (void)name;
}

static void apart_synchronize(Device *device)
{
    run_mark(apart(device), everything(apart(device)));
}

/* --- operations ------------------------------------------------------------------------------- */

static Task copy(Real *to, const Real *from, int64_t count)
{
    return (Task){TASK_COPY, to, from, count, count, 1, count};
}

static void apart_upload_begin(Device *device, Tensor to, const Real *from)
{
    Apart *a = apart(device);
    expect_host(a, from, tensor_count(to));
    write_down(&a->operations, copy(to.data, from, tensor_count(to)));
}

static void apart_download_begin(Device *device, Real *to, Tensor from)
{
    Apart *a = apart(device);
    expect_host(a, to, tensor_count(from));
    write_down(&a->downloads, copy(to, from.data, tensor_count(from)));
}

static void apart_upload(Device *device, Tensor to, const Real *from)
{
    write_down(&apart(device)->operations, copy(to.data, from, tensor_count(to)));
    apart_synchronize(device);
}

static void apart_download(Device *device, Real *to, Tensor from)
{
    apart_synchronize(device);
    protect(apart(device), PROT_READ | PROT_WRITE);
    memcpy(to, from.data, checked_size(tensor_count(from)) * sizeof *to);
    protect(apart(device), PROT_NONE);
}

static void apart_copy_blocks(Device *device, Tensor to, int64_t to_stride, Tensor from,
                              int64_t from_stride, int64_t blocks, int64_t length)
{
    write_down(&apart(device)->operations,
               (Task){TASK_COPY, to.data, from.data, to_stride, from_stride, blocks, length});
}

static void apart_add(Device *device, Tensor y, Tensor x)
{
    int64_t count = tensor_count(x);
    write_down(&apart(device)->operations, (Task){TASK_ADD, y.data, x.data, 0, 0, 1, count});
}

static void apart_destroy(Device *device)
{
    Apart *a = apart(device);
    if (munmap(a->memory, most_bytes) != 0) abort();
    free(a->operations.tasks);
    free(a->downloads.tasks);
    free(a);
    free(device);
}

Device *apart_device_create(bool eager, bool open)
{
    Device *device = fatal_calloc(1, sizeof *device, "a test's device");
    Apart *a = fatal_calloc(1, sizeof *a, "a test's device");
    const DeviceOps table = {
        .name = "apart",
        .destroy = apart_destroy,
        .allocate = apart_allocate,
        .release = apart_release,
        .allocate_host = apart_allocate_host,
        .release_host = apart_release_host,
        .upload = apart_upload,
        .download = apart_download,
        .upload_begin = apart_upload_begin,
        .download_begin = apart_download_begin,
        .mark = apart_mark,
        .wait = apart_wait,
        .synchronize = apart_synchronize,
        .enter_phase = apart_enter_phase,
        .copy_blocks = apart_copy_blocks,
        .add = apart_add,
    };
    a->table = table;
    a->eager = eager;
    a->open = open;
    a->memory = mmap(NULL, most_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->memory == MAP_FAILED) abort();
    a->operations.tasks = fatal_calloc(MOST_TASKS, sizeof(Task), "tasks");
    a->downloads.tasks = fatal_calloc(MOST_TASKS, sizeof(Task), "tasks");
    device->op = &a->table;
    device->context = a;
    device->threads = 1;
    return device;
}

/* --- ways ------------------------------------------------------------------------------------- */

const char *const way_names[NUM_WAYS] = {"shared", "staged", "staged, eager device", "direct"};

Status way_begin(Way way, Grid *grid, Device **device, Arena **arena)
{
    static const DeviceMpi wishes[NUM_WAYS] = {DEVICE_MPI_AUTO, DEVICE_MPI_STAGED,
                                               DEVICE_MPI_STAGED, DEVICE_MPI_DIRECT};
    *device = NULL;
    if (setenv("PALIMPSEST_MPI_REACHES_DEVICE", "1", 1) != 0) abort();
    if (way == WAY_SHARED)
        PAL_TRY(device_create_cpu(device, 1));
    else
        *device = apart_device_create(way == WAY_STAGED_EAGER, way == WAY_DIRECT);
    PAL_TRY(arena_create(arena, *device));
    return grid_use_device(grid, *device, *arena, wishes[way]);
}

void way_end(Grid *grid, Device **device, Arena **arena)
{
    grid_forget_device(grid);
    arena_destroy(arena);
    device_destroy(device);
}

Real *numbers_on(Device *device, Arena *arena, const Real *from, int64_t count)
{
    Tensor numbers = arena_tensor_1d(arena, PURPOSE_WORKSPACE, count);
    if (count > 0) device->op->upload(device, numbers, from);
    return numbers.data;
}

void numbers_read(Device *device, Real *to, const Real *from, int64_t count)
{
    if (count > 0) device->op->download(device, to, tensor_1d((Real *)(uintptr_t)from, count));
}
