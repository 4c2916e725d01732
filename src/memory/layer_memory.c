/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/layer_memory.h"

#include <math.h>
#include <string.h>

#include "src/base/checked.h"

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static void ring_create(SlotRing *ring, Arena *arena, ShardOrder order, int part, int rows,
                        int64_t width, NumberType type, int later_windows)
{
    *ring = (SlotRing){
        .order = order, .kept = shard_slots(order, part), .entering = order.block / order.parts};
    int64_t length = ring->kept > 0 ? ring->kept + later_windows * ring->entering : 0;
    ring->slots = arena_typed_3d(arena, PURPOSE_MEMORY, type, rows, length, width);
    ring->held = arena_host(arena, PURPOSE_DATA, checked_size(rows) * sizeof(int));
}

void memory_create(LayerMemory *memory, Arena *arena, const ModelOptions *options,
                   const Placement *place, int layer, int later_windows)
{
    int rows = place->rows * place->row_groups, parts = place->tensor_parts;
    *memory = (LayerMemory){
        .rows = rows,
        .window = options->window,
        .rate = options->compression_rate,
        .part = place->tensor_part,
        .empty = options->empty_memory,
    };
    ShardOrder recent = {options->memory[layer], options->window, parts};
    ShardOrder compressed = {options->compressed_memory[layer],
                             options->window / options->compression_rate, parts};
    ring_create(&memory->recent, arena, recent, memory->part, rows, options->width, place->operands,
                later_windows);
    ring_create(&memory->compressed, arena, compressed, memory->part, rows, options->width,
                place->operands, later_windows);
    memory->pushed = arena_host(arena, PURPOSE_DATA, checked_size(rows) * sizeof(int64_t));
    memory->valid_compressed = arena_host(arena, PURPOSE_DATA, checked_size(rows) * sizeof(int));
}

void memory_mark_create(MemoryMark *mark, Arena *arena, int rows)
{
    size_t ints = checked_size(rows) * sizeof(int);
    *mark = (MemoryMark){.rows = rows};
    mark->pushed = arena_host(arena, PURPOSE_DATA, checked_size(rows) * sizeof(int64_t));
    mark->held_recent = arena_host(arena, PURPOSE_DATA, ints);
    mark->held_compressed = arena_host(arena, PURPOSE_DATA, ints);
    mark->valid_recent = arena_host(arena, PURPOSE_DATA, ints);
    mark->valid_compressed = arena_host(arena, PURPOSE_DATA, ints);
}

void memory_empty_row(LayerMemory *memory, int row)
{
    memory->recent.held[row] = memory->compressed.held[row] = memory->valid_compressed[row] = 0;
}

void memory_mark(const LayerMemory *memory, MemoryMark *mark, int first_row)
{
    bool masked = memory->empty == EMPTY_MASKED;
    mark->first_row = first_row;
    for (int b = 0; b < mark->rows; b++) {
        int row = first_row + b;
        mark->pushed[b] = memory->pushed[row];
        mark->held_recent[b] = memory->recent.held[row];
        mark->held_compressed[b] = memory->compressed.held[row];
        mark->valid_recent[b] = masked ? mark->held_recent[b] : (int)memory_slots(memory);
        mark->valid_compressed[b] =
            masked ? memory->valid_compressed[row] : (int)memory_compressed_slots(memory);
    }
}

/* Slots from `number` on that lie together in the ring, `count` of them at most. */
static Tensor ring_stretch(const SlotRing *ring, int row, int64_t number, int64_t count)
{
    int64_t length = ring->slots.dims[1], width = ring->slots.dims[2], at = number % length;
    return tensor_part_2d(ring->slots, (row * length + at) * width, smaller(count, length - at),
                          width);
}

/* Slots [number, number + count) of a row: out of the ring, or (into) into it. */
static void ring_copy(Device *device, const SlotRing *ring, int row, int64_t number, int64_t count,
                      Tensor numbers, bool into)
{
    for (int64_t done = 0; done < count;) {
        Tensor in_ring = ring_stretch(ring, row, number + done, count - done);
        Tensor outside = tensor_from(numbers, done * in_ring.dims[1]);
        device->op->copy_blocks(device, into ? in_ring : outside, 0, into ? outside : in_ring, 0, 1,
                                tensor_count(in_ring));
        done += in_ring.dims[0];
    }
}

/* The sum of finite numbers is finite: they are floats, it is a double. What is not held is as it
 * was left, which may be anything. */
static bool ring_row_is_finite(Device *device, const LayerMemory *memory, const SlotRing *ring,
                               int row)
{
    int64_t first = memory->pushed[row] * ring->entering - ring->kept;
    int64_t first_held = ring->order.slots - ring->held[row];
    double sum = 0.0;
    for (int64_t i = 0; i < shard_runs(ring->order, memory->part); i++) {
        ShardRun run = shard_run(ring->order, memory->part, i);
        int64_t done = smaller(larger(first_held - run.whole, 0), run.count);
        while (done < run.count) {
            Tensor slots = ring_stretch(ring, row, first + run.shard + done, run.count - done);
            sum += device->op->sum(device, slots);
            done += slots.dims[0];
        }
    }
    return isfinite(sum);
}

bool memory_row_is_finite(Device *device, const LayerMemory *memory, int row)
{
    return ring_row_is_finite(device, memory, &memory->recent, row) &&
           ring_row_is_finite(device, memory, &memory->compressed, row);
}

/* Slots from before the first window have numbers below zero; nobody looks at what they read. */
void memory_read_shard(Device *device, const SlotRing *ring, int row, int64_t pushed, Tensor to)
{
    int64_t number = pushed * ring->entering - ring->kept, width = ring->slots.dims[2];
    int64_t missing = number < 0 ? -number : 0;
    ring_copy(device, ring, row, number + missing, ring->kept - missing,
              tensor_from(to, missing * width), false);
}

void memory_download(Device *device, const SlotRing *ring, int row, int64_t pushed, int64_t first,
                     int64_t count, Real *to)
{
    int64_t number = pushed * ring->entering - ring->kept + first;
    for (int64_t done = number < 0 ? smaller(count, -number) : 0; done < count;) {
        Tensor in_ring = ring_stretch(ring, row, number + done, count - done);
        device->op->download(device, to + done * in_ring.dims[1], in_ring);
        done += in_ring.dims[0];
    }
}

/* All that is kept, from slot `number` on. */
static void ring_upload(Device *device, const SlotRing *ring, int row, int64_t number,
                        const Real *from)
{
    for (int64_t done = 0; done < ring->kept;) {
        Tensor in_ring = ring_stretch(ring, row, number + done, ring->kept - done);
        device->op->upload(device, in_ring, from + done * in_ring.dims[1]);
        done += in_ring.dims[0];
    }
}

/* The windows that fill a ring. */
static int64_t windows_of(const SlotRing *ring)
{
    return (ring->kept + ring->entering - 1) / larger(ring->entering, 1);
}

/* Which windows the slots came from is of no account: the rings are entered as if these were the
 * first ones. What is not held stands there as the zeros that it would be read as. */
void memory_restore_row(Device *device, LayerMemory *memory, int row, const Real *recent,
                        const Real *compressed, int valid_recent, int valid_compressed)
{
    SlotRing *rings[] = {&memory->recent, &memory->compressed};
    const Real *slots[] = {recent, compressed};
    int64_t pushed = larger(windows_of(rings[0]), windows_of(rings[1]));
    memory->pushed[row] = pushed;
    for (int i = 0; i < 2; i++) {
        rings[i]->held[row] = (int)rings[i]->order.slots;
        ring_upload(device, rings[i], row, pushed * rings[i]->entering - rings[i]->kept, slots[i]);
    }
    if (memory->empty == EMPTY_MASKED) memory->recent.held[row] = valid_recent;
    memory->valid_compressed[row] = valid_compressed;
}

void memory_clear_unheld(Device *device, Tensor x, const int *held)
{
    for (int64_t b = 0; b < x.dims[0]; b++) {
        Tensor row = tensor_reshape_2d(tensor_slice(x, b, 1), x.dims[1], x.dims[2]);
        int64_t unheld = x.dims[1] - held[b];
        if (unheld > 0) device->op->fill(device, tensor_slice(row, 0, unheld), 0.0);
    }
}

/* Positions [first, first + count) of x (B,S,D) to positions from `at` on of y. */
static void copy_positions(Device *device, Tensor y, int64_t at, Tensor x, int64_t first,
                           int64_t count)
{
    int64_t width = y.dims[2];
    if (count <= 0) return;
    device->op->copy_blocks(device, tensor_from(y, at * width), y.dims[1] * width,
                            tensor_from(x, first * width), x.dims[1] * width, y.dims[0],
                            count * width);
}

void memory_evicted(Device *device, Tensor evicted, Tensor recent, Tensor a, Range range)
{
    int64_t slots = recent.dims[1], end = range.first + range.count;
    int64_t from_recent = smaller(end, slots) - range.first;
    copy_positions(device, evicted, 0, recent, range.first, from_recent);
    int64_t done = larger(from_recent, 0);
    copy_positions(device, evicted, done, a, range.first + done - slots, range.count - done);
}

int memory_valid_evicted(const LayerMemory *memory, const MemoryMark *mark, int row)
{
    return (int)larger(0, mark->valid_recent[row] + memory->window - memory_slots(memory));
}

int memory_valid_fresh(const LayerMemory *memory, const MemoryMark *mark, int row)
{
    return memory_valid_evicted(memory, mark, row) / memory->rate;
}

static void ring_push(Device *device, const SlotRing *ring, const LayerMemory *memory, int row,
                      Tensor entering, int64_t b)
{
    int64_t count = ring->entering, width = ring->slots.dims[2];
    if (ring->slots.dims[1] == 0) return;
    ring_copy(device, ring, row, memory->pushed[row] * count, count,
              tensor_from(entering, b * count * width), true);
}

static void enter(int *count, int64_t entering, const SlotRing *ring)
{
    *count = (int)smaller(ring->order.slots, *count + entering);
}

void memory_push(Device *device, LayerMemory *memory, const MemoryMark *mark, Tensor a,
                 Tensor fresh, const bool *push)
{
    for (int b = 0; b < mark->rows; b++) {
        int row = mark->first_row + b;
        if (!push[b]) continue;
        ring_push(device, &memory->recent, memory, row, a, b);
        ring_push(device, &memory->compressed, memory, row, fresh, b);

        enter(&memory->valid_compressed[row], memory_valid_fresh(memory, mark, b),
              &memory->compressed);
        enter(&memory->compressed.held[row], memory->compressed.order.block, &memory->compressed);
        enter(&memory->recent.held[row], memory->window, &memory->recent);
        memory->pushed[row]++;
    }
}
