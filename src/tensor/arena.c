/* SPDX-License-Identifier: Apache-2.0 */
#include "src/tensor/arena.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/checked.h"
#include "src/tensor/device.h"

/* Where memory comes from: the device's own; of the host, but such that copies are fast; or plain. */
typedef enum Place { ON_DEVICE, FOR_COPIES, ON_HOST } Place;

typedef struct Block {
    void *start;
    Place place;
} Block;

struct Arena {
    Device *device; /* borrowed */
    Block *blocks;
    size_t num_blocks, max_blocks;
    size_t bytes[PURPOSE_COUNT]; /* asked for, whether or not it was there */
    size_t device_bytes;         /* of them in the device's own memory */
    size_t largest[2];           /* of one tensor, by number type; not of weights */
    bool sealed, failed;
    const char *failed_for; /* what there was no room for */
    size_t failed_bytes;
};

Status arena_create(Arena **arena, Device *device)
{
    *arena = calloc(1, sizeof **arena);
    if (*arena == NULL)
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "out of memory for an arena's book-keeping");
    (*arena)->device = device;
    return PAL_OK;
}

static void *take_from(Device *device, Place place, size_t bytes)
{
    switch (place) {
    case ON_DEVICE: return device->op->allocate(device, bytes);
    case FOR_COPIES: return device->op->allocate_host(device, bytes);
    case ON_HOST: break;
    }
    return calloc(1, bytes);
}

static void give_back(Device *device, Block block)
{
    switch (block.place) {
    case ON_DEVICE: device->op->release(device, block.start); break;
    case FOR_COPIES: device->op->release_host(device, block.start); break;
    case ON_HOST: free(block.start);
    }
}

void arena_destroy(Arena **arena)
{
    if (*arena == NULL) return;
    for (size_t i = 0; i < (*arena)->num_blocks; i++) {
        Block block = (*arena)->blocks[i];
        give_back((*arena)->device, block);
    }
    free((*arena)->blocks);
    free(*arena);
    *arena = NULL;
}

static bool room_for_one_more(Arena *arena)
{
    if (arena->num_blocks < arena->max_blocks) return true;
    size_t wanted = arena->max_blocks == 0 ? 64 : 2 * arena->max_blocks;
    Block *blocks = realloc(arena->blocks, wanted * sizeof *blocks);
    if (blocks == NULL) return false;
    arena->blocks = blocks;
    arena->max_blocks = wanted;
    return true;
}

/* Sums that do not fit stay at the largest number, so that the report stays an honest "too
 * much". */
static size_t saturating_add(size_t a, size_t b)
{
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static void *take(Arena *arena, Purpose purpose, size_t bytes, Place place)
{
    /* Not a PAL_ASSERT: allocation in the training loop must not pass unseen in any build. */
    if (arena->sealed) status_assert_failed(__FILE__, __LINE__, "an arena that is not sealed");

    arena->bytes[purpose] = saturating_add(arena->bytes[purpose], bytes);
    if (place == ON_DEVICE) arena->device_bytes = saturating_add(arena->device_bytes, bytes);
    void *start = NULL;
    /* After a failure no more numbers are taken: the run ends at arena_seal, only the counts
     * matter. Lists in host memory are small, and without them their owners could not go on
     * counting. */
    bool wanted = !arena->failed || place == ON_HOST;
    if (wanted && bytes < SIZE_MAX && room_for_one_more(arena)) {
        /* A tensor with no elements still exists, so it gets an address of its own. */
        size_t at_least = bytes > 0 ? bytes : 1;
        start = take_from(arena->device, place, at_least);
    }
    if (start != NULL) {
        arena->blocks[arena->num_blocks++] = (Block){start, place};
    } else {
        arena_lacks(arena, bytes, purpose_name(purpose));
    }
    return start;
}

void arena_lacks(Arena *arena, size_t bytes, const char *what)
{
    if (arena->failed) return;
    arena->failed = true;
    arena->failed_for = what;
    arena->failed_bytes = bytes;
}

Tensor arena_tensor(Arena *arena, Purpose purpose, NumberType type, int num_dims,
                    const int64_t *dims)
{
    PAL_ASSERT(num_dims >= 1 && num_dims <= PAL_MAX_DIMS);
    Tensor x = {.type = type, .num_dims = num_dims};
    size_t bytes = number_size(type);
    bool fits = true, empty = false;
    for (int i = 0; i < num_dims; i++) {
        x.dims[i] = dims[i];
        if (dims[i] == 0) empty = true;
        if (__builtin_mul_overflow(bytes, checked_size(dims[i]), &bytes)) fits = false;
    }
    if (empty)
        bytes = 0;
    else if (!fits)
        bytes = SIZE_MAX;
    /* What is too large to be added up is so by far, and reported by take(). */
    bool adds_up = bytes < PTRDIFF_MAX / 64;
    if (purpose != PURPOSE_WEIGHTS && adds_up && bytes > arena->largest[type])
        arena->largest[type] = bytes;
    x.data = take(arena, purpose, bytes, ON_DEVICE);
    return x;
}

Tensor arena_tensor_1d(Arena *arena, Purpose purpose, int64_t a)
{
    return arena_tensor(arena, purpose, NUMBER_FLOAT32, 1, (int64_t[]){a});
}

Tensor arena_tensor_2d(Arena *arena, Purpose purpose, int64_t a, int64_t b)
{
    return arena_typed_2d(arena, purpose, NUMBER_FLOAT32, a, b);
}

Tensor arena_tensor_3d(Arena *arena, Purpose purpose, int64_t a, int64_t b, int64_t c)
{
    return arena_typed_3d(arena, purpose, NUMBER_FLOAT32, a, b, c);
}

Tensor arena_typed_2d(Arena *arena, Purpose purpose, NumberType type, int64_t a, int64_t b)
{
    return arena_tensor(arena, purpose, type, 2, (int64_t[]){a, b});
}

Tensor arena_typed_3d(Arena *arena, Purpose purpose, NumberType type, int64_t a, int64_t b,
                      int64_t c)
{
    return arena_tensor(arena, purpose, type, 3, (int64_t[]){a, b, c});
}

void *arena_host(Arena *arena, Purpose purpose, size_t bytes)
{
    bool copied = purpose == PURPOSE_STAGING || purpose == PURPOSE_EXCHANGE;
    return take(arena, purpose, bytes, copied ? FOR_COPIES : ON_HOST);
}

/* Appends "weights 1.25 GiB", or nothing where nothing was asked for. */
static void add_part(char *text, size_t size, const char *what, size_t bytes)
{
    size_t used = strlen(text);
    if (bytes > 0)
        snprintf(text + used, size - used, "%s%s %.3f GiB", used == 0 ? "" : ", ", what,
                 (double)bytes * 0x1p-30);
}

/* Others may have memory of a GPU too. */
static void describe_free(const Device *device, char *text, size_t size)
{
    text[0] = '\0';
    if (device->free_bytes > 0)
        snprintf(text, size, "; %.3f GiB of the GPU were free at the start",
                 (double)device->free_bytes * 0x1p-30);
}

Status arena_seal(Arena *arena)
{
    char parts[768] = "", free_before[64];
    arena->sealed = true;
    if (!arena->failed) return PAL_OK;
    size_t scratch = arena->device->scratch_bytes;
    for (int p = 0; p < PURPOSE_COUNT; p++)
        add_part(parts, sizeof parts, purpose_name((Purpose)p), arena->bytes[p]);
    add_part(parts, sizeof parts, "scratch of operations", scratch);
    describe_free(arena->device, free_before, sizeof free_before);
    PAL_FAIL(PAL_ERROR_UNAVAILABLE,
             "out of memory on the %s device: %zu bytes are missing for %s; the run needs %.3f GiB "
             "on this rank (%s)%s; try more ranks (parallel.tensor, parallel.pipeline, "
             "parallel.data), train.recompute, fewer rows, a shorter window or memory",
             arena->device->op->name, arena->failed_bytes, arena->failed_for,
             (double)saturating_add(arena_total_bytes(arena), scratch) * 0x1p-30, parts,
             free_before);
}

int64_t arena_largest(const Arena *arena, NumberType type)
{
    return (int64_t)(arena->largest[type] / number_size(type));
}

size_t arena_bytes(const Arena *arena, Purpose purpose) { return arena->bytes[purpose]; }

size_t arena_device_bytes(const Arena *arena) { return arena->device_bytes; }

size_t arena_total_bytes(const Arena *arena)
{
    size_t total = 0;
    for (int p = 0; p < PURPOSE_COUNT; p++) total = saturating_add(total, arena->bytes[p]);
    return total;
}

const char *purpose_name(Purpose purpose)
{
    switch (purpose) {
#define PAL_PURPOSE_ENTRY(name, text) \
    case name: return text;
        PAL_PURPOSE_LIST(PAL_PURPOSE_ENTRY)
#undef PAL_PURPOSE_ENTRY
    case PURPOSE_COUNT: break;
    }
    return "unknown purpose";
}
