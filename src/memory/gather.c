/* SPDX-License-Identifier: Apache-2.0 */
#include "src/memory/gather.h"

#include "src/base/checked.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* What all rows of a shard take, of both rings. */
static int64_t shard_numbers(const MemoryGather *g, ShardOrder recent, ShardOrder compressed,
                             int part)
{
    int64_t rows = g->recent.dims[0], width = g->recent.dims[2];
    return rows * width * (shard_slots(recent, part) + shard_slots(compressed, part));
}

/* Messages are counted in words. */
static int64_t words_of(const MemoryGather *g, int64_t numbers)
{
    return tensor_count(tensor_as_words(tensor_part_1d(g->receive, 0, numbers)));
}

void gather_create(MemoryGather *g, const Group *group, Device *device, Arena *arena,
                   const ModelOptions *options, const Placement *place)
{
    *g = (MemoryGather){.group = group, .device = device};
    int64_t window = options->window, fresh = window / options->compression_rate;
    int64_t recent = 0, compressed = 0, sent = 0, received = 0;
    int parts = place->tensor_parts;
    g->recent = tensor_3d(NULL, place->rows, 0, options->width);
    for (int l = place->first_layer; l < place->first_layer + place->layers; l++) {
        ShardOrder orders[] = {{options->memory[l], window, parts},
                               {options->compressed_memory[l], fresh, parts}};
        int64_t all = orders[0].slots + orders[1].slots;
        sent = larger(sent, shard_numbers(g, orders[0], orders[1], place->tensor_part));
        received = larger(received, (int64_t)place->rows * options->width * all);
        recent = larger(recent, orders[0].slots);
        compressed = larger(compressed, orders[1].slots);
    }
    g->recent = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, place->rows, recent,
                               options->width);
    g->compressed = arena_typed_3d(arena, PURPOSE_WORKSPACE, place->operands, place->rows,
                                   compressed, options->width);
    if (parts == 1) return;
    g->send = arena_typed_2d(arena, PURPOSE_WORKSPACE, place->operands, 1, sent);
    g->receive = arena_typed_2d(arena, PURPOSE_WORKSPACE, place->operands, 1, received);
    group_reserve(group, arena, &g->transfer, words_of(g, sent + received));
    g->counts = arena_host(arena, PURPOSE_DATA, checked_size(parts) * sizeof(int));
    g->firsts = arena_host(arena, PURPOSE_DATA, checked_size(parts) * sizeof(int));
}

/* This rank's shards, of all rows: first recent, then compressed. */
static void pack(MemoryGather *g)
{
    const SlotRing *rings[] = {&g->memory->recent, &g->memory->compressed};
    int64_t to = 0;
    for (int i = 0; i < 2; i++)
        for (int b = 0; b < g->mark->rows; b++) {
            memory_read_shard(g->device, rings[i], g->mark->first_row + b, g->mark->pushed[b],
                              tensor_from(g->send, to));
            to += rings[i]->kept * rings[i]->slots.dims[2];
        }
}

/* One rank's shard of all rows, which begins at `from` of what came, to its places in the whole (B,S,D). */
static void place_shard(const MemoryGather *g, Tensor whole, ShardOrder order, int part,
                        int64_t from)
{
    int64_t slots = whole.dims[1], width = whole.dims[2], kept = shard_slots(order, part);
    for (int64_t i = 0; i < shard_runs(order, part); i++) {
        ShardRun run = shard_run(order, part, i);
        g->device->op->copy_blocks(g->device, tensor_from(whole, run.whole * width), slots * width,
                                   tensor_from(g->receive, from + run.shard * width), kept * width,
                                   whole.dims[0], run.count * width);
    }
}

static void unpack(const MemoryGather *g, MemoryView view)
{
    ShardOrder recent = g->memory->recent.order, compressed = g->memory->compressed.order;
    int64_t from = 0;
    for (int p = 0; p < g->group->size; p++) {
        place_shard(g, view.recent, recent, p, from);
        from += view.recent.dims[0] * shard_slots(recent, p) * view.recent.dims[2];
        place_shard(g, view.compressed, compressed, p, from);
        from += view.compressed.dims[0] * shard_slots(compressed, p) * view.compressed.dims[2];
    }
}

void gather_begin(MemoryGather *g, const LayerMemory *memory, const MemoryMark *mark)
{
    PAL_ASSERT(g->memory == NULL && mark->rows == g->recent.dims[0]);
    g->memory = memory;
    g->mark = mark;
    if (g->group->size == 1) return;

    int64_t first = 0;
    for (int p = 0; p < g->group->size; p++) {
        g->firsts[p] = checked_int(first);
        g->counts[p] = checked_int(
            words_of(g, shard_numbers(g, memory->recent.order, memory->compressed.order, p)));
        first += g->counts[p];
    }
    pack(g);
    group_all_gather_begin(g->group, TRAFFIC_MEMORY, &g->transfer, tensor_as_words(g->receive).data,
                           tensor_as_words(g->send).data, g->counts, g->firsts);
}

/* In a group of one the shard is the whole. */
static void read_own(const MemoryGather *g, Tensor whole, const SlotRing *ring)
{
    int64_t row_numbers = whole.dims[1] * whole.dims[2];
    for (int b = 0; b < g->mark->rows; b++)
        memory_read_shard(g->device, ring, g->mark->first_row + b, g->mark->pushed[b],
                          tensor_part_1d(whole, b * row_numbers, row_numbers));
}

MemoryView gather_end(MemoryGather *g)
{
    const LayerMemory *memory = g->memory;
    PAL_ASSERT(memory != NULL);
    MemoryView view = {g->recent, g->compressed};
    view.recent.dims[1] = memory_slots(memory);
    view.compressed.dims[1] = memory_compressed_slots(memory);
    if (g->group->size == 1) {
        read_own(g, view.recent, &memory->recent);
        read_own(g, view.compressed, &memory->compressed);
    } else {
        group_wait(&g->transfer);
        unpack(g, view);
    }
    memory_clear_unheld(g->device, view.recent, g->mark->held_recent);
    memory_clear_unheld(g->device, view.compressed, g->mark->held_compressed);
    g->memory = NULL;
    return view;
}
