/* SPDX-License-Identifier: Apache-2.0
 *
 * What memories hold after each window, whether all of it is finite, and what the marks of earlier
 * windows still show, against plain lists of marked states.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/checked.h"
#include "tests/model_fixture.h"

/* --- the memories as plain lists -------------------------------------------------------------- */

enum { LAYERS = 7, WIDTH = 4, LENGTH = 4, RATE = 2, MOST_SLOTS = 16, WINDOWS = 13 };

/* M > T, M = T, M < T, M = 0; N a multiple of T/c and not, N < T/c, N = 0 */
static const ModelOptions list_options = {
    .layers = LAYERS,
    .width = WIDTH,
    .heads = 2,
    .window = LENGTH,
    .compression_rate = RATE,
    .memory = {8, 4, 2, 0, 6, 4, 10},
    .compressed_memory = {6, 2, 3, 5, 0, 1, 10},
};

typedef struct Slot {
    double state[WIDTH];
    bool valid;
} Slot;

/* One row of one layer, oldest first. */
typedef struct Lists {
    Slot recent[MOST_SLOTS], compressed[MOST_SLOTS];
} Lists;

static void empty_lists(Lists *lists, bool valid)
{
    *lists = (Lists){0};
    for (int j = 0; j < MOST_SLOTS; j++)
        lists->recent[j].valid = lists->compressed[j].valid = valid;
}

static Slot mean_of_group(const Slot *group)
{
    Slot mean = {.valid = true};
    for (int k = 0; k < RATE; k++) {
        mean.valid = mean.valid && group[k].valid;
        for (int e = 0; e < WIDTH; e++) mean.state[e] += group[k].state[e] / RATE;
    }
    return mean;
}

static void append(Slot *list, int length, Slot slot)
{
    if (length == 0) return;
    memmove(list, list + 1, (size_t)(length - 1) * sizeof *list);
    list[length - 1] = slot;
}

static void push_window(Lists *lists, int slots, int compressed_slots, const Slot *window)
{
    Slot all[MOST_SLOTS + LENGTH];
    memcpy(all, lists->recent, (size_t)slots * sizeof(Slot));
    memcpy(all + slots, window, LENGTH * sizeof(Slot));
    memcpy(lists->recent, all + LENGTH, (size_t)slots * sizeof(Slot));
    for (int g = 0; g < LENGTH; g += RATE)
        append(lists->compressed, compressed_slots, mean_of_group(all + g));
}

/* A state that says where it comes from, with now and then a number that is none. Means of two are
 * exact. */
static Slot marked_slot(int64_t window, int layer, int row, int t)
{
    Slot slot = {.valid = true};
    for (int e = 0; e < WIDTH; e++)
        slot.state[e] = 1000.0 * (double)(window + 1) + 100.0 * layer + 10.0 * row + t + 0.25 * e;
    if (window % 11 == 5 && row == 1 && t == 1) slot.state[WIDTH - 1] = NAN;
    return slot;
}

static void write_slot(Real *to, Slot slot)
{
    for (int e = 0; e < WIDTH; e++) to[e] = (Real)slot.state[e];
}

/* In place of what the layers computed. */
static void mark_window(Model *model, int64_t window)
{
    for (int l = 0; l < LAYERS; l++) {
        Tensor a = model->flights[0].layers[l].a;
        for (int i = 0; i < FIXTURE_ROWS * LENGTH; i++)
            write_slot(tensor_reals(a) + (ptrdiff_t)i * WIDTH,
                       marked_slot(window, l, i / LENGTH, i % LENGTH));
    }
}

static void push_marks(Lists lists[LAYERS][FIXTURE_ROWS], const ModelOptions *options,
                       int64_t window, int row)
{
    for (int l = 0; l < LAYERS; l++) {
        Slot slots[LENGTH];
        for (int t = 0; t < LENGTH; t++) slots[t] = marked_slot(window, l, row, t);
        push_window(&lists[l][row], options->memory[l], options->compressed_memory[l], slots);
    }
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void assert_slots(Tensor buffer, int row, int valid, const Slot *expected)
{
    int64_t slots = buffer.dims[1];
    for (int64_t j = 0; j < slots; j++) {
        const Real *state = tensor_reals(buffer) + (row * slots + j) * WIDTH;
        for (int e = 0; e < WIDTH; e++) assert_true(same((double)state[e], expected[j].state[e]));
        assert_true(expected[j].valid == (j >= slots - valid)); /* the newest ones */
    }
}

static void assert_model_shows(Fixture *fixture, Lists lists[LAYERS][FIXTURE_ROWS])
{
    for (int l = 0; l < LAYERS; l++) {
        MemoryView view = fixture_view(fixture, l, 0);
        const MemoryMark *mark = &fixture->model.flights[0].marks[l];
        for (int b = 0; b < FIXTURE_ROWS; b++) {
            assert_slots(view.recent, b, mark->valid_recent[b], lists[l][b].recent);
            assert_slots(view.compressed, b, mark->valid_compressed[b], lists[l][b].compressed);
        }
    }
}

static void check_lists(EmptyMemory empty, bool keeps_memory)
{
    Setting setting = {.model = list_options,
                       .rows = FIXTURE_ROWS,
                       .evaluates = true,
                       .keeps_memory = keeps_memory};
    setting.model.empty_memory = empty;
    Fixture fixture;
    fixture_create(&fixture, &setting);
    Model *model = &fixture.model;
    static Lists lists[LAYERS][FIXTURE_ROWS];
    for (int l = 0; l < LAYERS; l++)
        for (int b = 0; b < FIXTURE_ROWS; b++) empty_lists(&lists[l][b], empty == EMPTY_ZEROS);

    for (int64_t i = 0; i < WINDOWS; i++) {
        TestWindow window;
        fixture_window(&fixture, &window, i);
        model_forward(model, 0, &window.view, 0, false);
        mark_window(model, i);
        model_remember(model, 0);
        for (int b = 0; b < FIXTURE_ROWS; b++) {
            for (int l = 0; l < LAYERS && window.starts[b] && !keeps_memory; l++)
                empty_lists(&lists[l][b], empty == EMPTY_ZEROS);
            if (window.counted[b] == LENGTH) push_marks(lists, &fixture.options, i, b);
        }
        assert_model_shows(&fixture, lists);
    }
    fixture_destroy(&fixture);
}

static void memories_are_the_plain_lists(void **state)
{
    (void)state;
    check_lists(EMPTY_MASKED, false);
    check_lists(EMPTY_MASKED, true);
    check_lists(EMPTY_ZEROS, false);
    check_lists(EMPTY_ZEROS, true);
}

/* --- marks of earlier windows ----------------------------------------------------------------- */

enum { GROUPS = 2, GROUP_ROWS = FIXTURE_ROWS / GROUPS, MOST_LATER = 3, MOST_PARTS = 2 };
enum { LATER_WINDOWS = 40, FRESH = LENGTH / RATE };

/* What one window of one row group saw, and should go on seeing. */
typedef struct Seen {
    MemoryMark mark;
    Lists lists[GROUP_ROWS];
} Seen;

/* The memory of one layer, on all ranks of a tensor group as if they were one: shards are put
 * together without MPI. A group of one reads as the model does. */
typedef struct Shared {
    int layer, parts, later;
    bool zeros;
    Device *device;
    Arena *arena;
    Traffic traffic;
    Group group; /* of one */
    LayerMemory memory[MOST_PARTS];
    MemoryGather gather;
    Tensor shard, whole_a;    /* of one row; (B,T,D) */
    Tensor a, evicted, fresh; /* of one rank: (B,T/P,D) twice, (B,T/(cP),D) */
    MemoryView view;
    Lists now[FIXTURE_ROWS];
    Seen seen[GROUPS][MOST_LATER + 1]; /* window w at w mod (later + 1) */
} Shared;

static Tensor take(Shared *s, int64_t rows, int64_t slots)
{
    return arena_tensor_3d(s->arena, PURPOSE_WORKSPACE, rows, slots, WIDTH);
}

static void shared_create(Shared *s, int layer, int parts, int later, EmptyMemory empty)
{
    ModelOptions options = list_options;
    options.empty_memory = empty;
    Placement place = placement_whole(&options, GROUP_ROWS);
    place.row_groups = GROUPS;
    *s = (Shared){.layer = layer, .parts = parts, .later = later, .zeros = empty == EMPTY_ZEROS};
    s->group = (Group){.rank = 0, .size = 1, .traffic = &s->traffic};
    assert_int_equal(device_create_cpu(&s->device, 1), PAL_OK);
    assert_int_equal(arena_create(&s->arena, s->device), PAL_OK);
    gather_create(&s->gather, &s->group, s->device, s->arena, &options, &place);
    place.tensor_parts = parts;
    for (int p = 0; p < parts; p++) {
        place.tensor_part = p;
        memory_create(&s->memory[p], s->arena, &options, &place, layer, later);
    }
    s->shard = take(s, 1, MOST_SLOTS);
    s->whole_a = take(s, GROUP_ROWS, LENGTH);
    s->a = take(s, GROUP_ROWS, LENGTH / parts);
    s->evicted = take(s, GROUP_ROWS, LENGTH / parts);
    s->fresh = take(s, GROUP_ROWS, FRESH / parts);
    s->view.recent = take(s, GROUP_ROWS, options.memory[layer]);
    s->view.compressed = take(s, GROUP_ROWS, options.compressed_memory[layer]);
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i <= later; i++)
            memory_mark_create(&s->seen[g][i].mark, s->arena, GROUP_ROWS);
    assert_int_equal(arena_seal(s->arena), PAL_OK);
    for (int b = 0; b < FIXTURE_ROWS; b++) empty_lists(&s->now[b], s->zeros);
}

static void shared_destroy(Shared *s)
{
    arena_destroy(&s->arena);
    device_destroy(&s->device);
}

/* One ring's slots of all ranks, as the mark saw them, to whole (B,S,D). */
static void join_shards(const Shared *s, Tensor whole, const MemoryMark *mark, bool compressed)
{
    int64_t slots = whole.dims[1];
    for (int p = 0; p < s->parts; p++) {
        const LayerMemory *memory = &s->memory[p];
        const SlotRing *ring = compressed ? &memory->compressed : &memory->recent;
        for (int b = 0; b < GROUP_ROWS; b++) {
            memory_read_shard(s->device, ring, mark->first_row + b, mark->pushed[b], s->shard);
            for (int64_t i = 0; i < shard_runs(ring->order, p); i++) {
                ShardRun run = shard_run(ring->order, p, i);
                memcpy(tensor_reals(whole) + (b * slots + run.whole) * WIDTH,
                       tensor_reals(s->shard) + run.shard * WIDTH,
                       checked_size(run.count * WIDTH) * sizeof(Real));
            }
        }
    }
    memory_clear_unheld(s->device, whole, compressed ? mark->held_compressed : mark->held_recent);
}

static MemoryView shared_view(Shared *s, const MemoryMark *mark)
{
    if (s->parts == 1) {
        gather_begin(&s->gather, &s->memory[0], mark);
        return gather_end(&s->gather);
    }
    join_shards(s, s->view.recent, mark, false);
    join_shards(s, s->view.compressed, mark, true);
    return s->view;
}

/* How many of the T oldest of [recent ; window], and of the means of their groups, are valid. */
static void assert_valid_counts(const Shared *s, const Seen *seen, int b)
{
    Slot all[MOST_SLOTS + LENGTH];
    int slots = list_options.memory[s->layer], evicted = 0, fresh = 0;
    memcpy(all, seen->lists[b].recent, (size_t)slots * sizeof(Slot));
    for (int t = 0; t < LENGTH; t++) all[slots + t].valid = true;
    for (int t = 0; t < LENGTH; t++) evicted += all[t].valid;
    for (int g = 0; g < LENGTH; g += RATE) fresh += all[g].valid && all[g + 1].valid;
    assert_int_equal(memory_valid_evicted(&s->memory[0], &seen->mark, b), evicted);
    assert_int_equal(memory_valid_fresh(&s->memory[0], &seen->mark, b), fresh);
}

/* The marks of windows first .. last of this group. */
static void assert_marks_show(Shared *s, int g, int64_t first, int64_t last)
{
    for (int64_t w = first > 0 ? first : 0; w <= last; w++) {
        const Seen *seen = &s->seen[g][w % (s->later + 1)];
        MemoryView view = shared_view(s, &seen->mark);
        for (int b = 0; b < GROUP_ROWS; b++) {
            const MemoryMark *mark = &seen->mark;
            assert_slots(view.recent, b, mark->valid_recent[b], seen->lists[b].recent);
            assert_slots(view.compressed, b, mark->valid_compressed[b], seen->lists[b].compressed);
            assert_valid_counts(s, seen, b);
        }
    }
}

static void write_window(Tensor a, int64_t window, int layer, int first_row, Range positions)
{
    for (int b = 0; b < GROUP_ROWS; b++)
        for (int t = 0; t < positions.count; t++)
            write_slot(tensor_reals(a) + (b * positions.count + t) * WIDTH,
                       marked_slot(window, layer, first_row + b, (int)positions.first + t));
}

static void write_means(Tensor fresh, Tensor evicted)
{
    for (int64_t i = 0; i < tensor_count(fresh); i++) {
        tensor_reals(fresh)[i] = 0;
        for (int64_t k = 0; k < RATE; k++)
            tensor_reals(fresh)[i] +=
                tensor_reals(evicted)[(i / WIDTH * RATE + k) * WIDTH + i % WIDTH] / RATE;
    }
}

/* Every rank's positions of the window, and the means of what they push out of the view. */
static void push_shares(Shared *s, int64_t window, const MemoryMark *mark, const bool *push)
{
    MemoryView view = shared_view(s, mark);
    bool compressed = memory_compressed_slots(&s->memory[0]) > 0;
    write_window(s->whole_a, window, s->layer, mark->first_row, (Range){0, LENGTH});
    for (int p = 0; p < s->parts; p++) {
        Range own = {p * LENGTH / s->parts, LENGTH / s->parts};
        memory_evicted(s->device, s->evicted, view.recent, s->whole_a, own);
        write_means(s->fresh, s->evicted);
        write_window(s->a, window, s->layer, mark->first_row, own);
        memory_push(s->device, &s->memory[p], mark, s->a, compressed ? s->fresh : tensor_none,
                    push);
    }
}

static bool slots_are_finite(const Slot *list, int count)
{
    for (int j = 0; j < count; j++)
        for (int e = 0; e < WIDTH; e++)
            if (!isfinite(list[j].state[e])) return false;
    return true;
}

/* What is held of the row, by all parts together; not what has left, or was emptied. */
static void assert_finite_as_lists(const Shared *s, int row)
{
    bool finite = true;
    for (int p = 0; p < s->parts; p++)
        finite = memory_row_is_finite(s->device, &s->memory[p], row) && finite;
    const Lists *lists = &s->now[row];
    assert_int_equal(
        finite, slots_are_finite(lists->recent, list_options.memory[s->layer]) &&
                    slots_are_finite(lists->compressed, list_options.compressed_memory[s->layer]));
}

static void push_lists(Shared *s, int64_t window, int row)
{
    Slot slots[LENGTH];
    for (int t = 0; t < LENGTH; t++) slots[t] = marked_slot(window, s->layer, row, t);
    push_window(&s->now[row], list_options.memory[s->layer],
                list_options.compressed_memory[s->layer], slots);
}

static void empty_row(Shared *s, int row)
{
    for (int p = 0; p < s->parts; p++) memory_empty_row(&s->memory[p], row);
    empty_lists(&s->now[row], s->zeros);
}

/* The next window of one row group: some rows start anew, some windows are partial. */
static void read_window(Shared *s, int64_t window, int g)
{
    Seen *seen = &s->seen[g][window % (s->later + 1)];
    RandomStream stream = random_substream(random_stream(7, "tests/marks"), (uint64_t)window, 0);
    bool push[GROUP_ROWS];
    for (int b = 0; b < GROUP_ROWS; b++) {
        int row = g * GROUP_ROWS + b;
        if (random_uniform(stream, (uint64_t)row) < 0.15) empty_row(s, row);
        push[b] = random_uniform(stream, (uint64_t)FIXTURE_ROWS + (uint64_t)row) < 0.8;
        seen->lists[b] = s->now[row];
    }
    memory_mark(&s->memory[0], &seen->mark, g * GROUP_ROWS);
    assert_marks_show(s, g, window - s->later, window);

    push_shares(s, window, &seen->mark, push);
    for (int b = 0; b < GROUP_ROWS; b++)
        if (push[b]) push_lists(s, window, g * GROUP_ROWS + b);
    for (int b = 0; b < GROUP_ROWS; b++) assert_finite_as_lists(s, g * GROUP_ROWS + b);
    assert_marks_show(s, g, window + 1 - s->later, window);
}

static void check_marks(int layer, int parts, int later, EmptyMemory empty)
{
    static Shared shared;
    shared_create(&shared, layer, parts, later, empty);
    for (int64_t window = 0; window < LATER_WINDOWS; window++)
        for (int g = 0; g < GROUPS; g++) read_window(&shared, window, g);
    shared_destroy(&shared);
}

static void earlier_marks_show_what_they_saw(void **state)
{
    (void)state;
    for (int layer = 0; layer < LAYERS; layer++)
        for (int parts = 1; parts <= MOST_PARTS; parts++)
            for (int later = 0; later <= MOST_LATER; later++)
                for (int empty = EMPTY_MASKED; empty <= EMPTY_ZEROS; empty++)
                    check_marks(layer, parts, later, (EmptyMemory)empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memories_are_the_plain_lists),
        cmocka_unit_test(earlier_marks_show_what_they_saw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
