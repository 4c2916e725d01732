/* SPDX-License-Identifier: Apache-2.0
 *
 * What memories hold after each window, against plain lists of marked states; what `most_used`
 * keeps; and the compression losses where they can be worked out by hand.
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

/* A state that says where it comes from. Means of two are exact. */
static Slot marked_slot(int64_t window, int layer, int row, int t)
{
    Slot slot = {.valid = true};
    for (int e = 0; e < WIDTH; e++)
        slot.state[e] = 1000.0 * (double)(window + 1) + 100.0 * layer + 10.0 * row + t + 0.25 * e;
    return slot;
}

/* In place of what the layers computed. */
static void mark_window(Model *model, int64_t window)
{
    for (int l = 0; l < LAYERS; l++) {
        for (int i = 0; i < model->rows * LENGTH; i++) {
            Slot slot = marked_slot(window, l, i / LENGTH, i % LENGTH);
            for (int e = 0; e < WIDTH; e++)
                model->layers[l].a.data[i * WIDTH + e] = (Real)slot.state[e];
        }
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

static void assert_slots(Tensor buffer, int row, int valid, const Slot *expected)
{
    int64_t slots = buffer.dims[1];
    for (int64_t j = 0; j < slots; j++) {
        const Real *state = buffer.data + (row * slots + j) * WIDTH;
        for (int e = 0; e < WIDTH; e++) assert_true((double)state[e] == expected[j].state[e]);
        assert_true(expected[j].valid == (j >= slots - valid)); /* the newest ones */
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
        model_forward(model, &window.view);
        mark_window(model, i);
        model_remember(model, &window.view);
        for (int b = 0; b < FIXTURE_ROWS; b++) {
            for (int l = 0; l < LAYERS && window.starts[b] && !keeps_memory; l++)
                empty_lists(&lists[l][b], empty == EMPTY_ZEROS);
            if (window.counted[b] == LENGTH) push_marks(lists, &fixture.options, i, b);
            for (int l = 0; l < LAYERS; l++) {
                const LayerMemory *memory = &model->memory[l];
                assert_slots(memory->recent, b, memory->valid_recent[b], lists[l][b].recent);
                assert_slots(memory->compressed, b, memory->valid_compressed[b],
                             lists[l][b].compressed);
            }
        }
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

/* --- most_used -------------------------------------------------------------------------------- */

static void most_used_keeps_order_and_prefers_the_older(void **state)
{
    (void)state;
    enum { SLOTS = 6, KEPT = 3 };
    static const Real usage[FIXTURE_ROWS][SLOTS] = {
        {5, 1, 4, 3, 2, 0}, {1, 1, 1, 1, 1, 1}, {0, 2, 2, 0, 2, 2}, {0, 0, 0, 0, 0, 7}};
    static const int kept[FIXTURE_ROWS][KEPT] = {{0, 2, 3}, {0, 1, 2}, {1, 2, 4}, {0, 1, 5}};
    Setting setting = {.model = {.window = SLOTS,
                                 .memory = {6, 6},
                                 .compressed_memory = {3, 3},
                                 .compression = COMPRESSION_MOST_USED},
                       .rows = FIXTURE_ROWS,
                       .evaluates = true};
    Fixture fixture;
    fixture_create(&fixture, &setting);
    const Compressor *compressor = &fixture.model.compressors[0];
    CompressionWorkspace *work = compressor->work;
    int64_t width = fixture.options.width;
    memcpy(work->usage.data, usage, sizeof usage);
    fixture_draw(work->evicted.data, tensor_count(work->evicted), "evicted");
    compressor->kind->forward(fixture.device, compressor, work->evicted);
    for (int b = 0; b < FIXTURE_ROWS; b++) {
        for (int i = 0; i < KEPT; i++) {
            const Real *found = work->fresh.data + (b * KEPT + i) * width;
            const Real *expected = work->evicted.data + (b * SLOTS + kept[b][i]) * width;
            assert_memory_equal(found, expected, checked_size(width) * sizeof(Real));
        }
    }
    fixture_destroy(&fixture);
}

/* Queries and positions out of the way, a logit is u . (s Wk) of its slot alone. */
static void leave_content_only(Fixture *fixture)
{
    AttentionLayer *layer = &fixture->model.layers[0].attention;
    const Weight weights[] = {layer->query, layer->position, layer->position_bias,
                              layer->position_bias_compressed};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        fixture->device->op->fill(fixture->device, weights[i].value, 0.0);
    model_weights_changed(&fixture->model);
}

static double content_weight(const Fixture *fixture, const Real *slot)
{
    const AttentionLayer *layer = &fixture->model.layers[0].attention;
    int width = fixture->options.width;
    double logit = 0.0;
    for (int i = 0; i < width; i++)
        for (int j = 0; j < width; j++)
            logit += (double)slot[i] * (double)layer->key.value.data[i * width + j] *
                     (double)layer->content_bias.value.data[j];
    return exp(logit / sqrt(width));
}

/* Mean weight on every evicted slot: of full memory, then (M < T) of the window itself. */
static void expected_usage(const Fixture *fixture, int row, int counted, double *usage)
{
    const Model *model = &fixture->model;
    int64_t width = fixture->options.width;
    int length = fixture->options.window, slots = fixture->options.memory[0], all = slots + length;
    double weight[2 * FIXTURE_WINDOW] = {0}, memory = 0.0;
    for (int j = 0; j < all; j++) {
        const Real *recent = model->memory[0].recent.data + (row * slots + j) * width;
        const Real *window = model->layers[0].a.data + (row * length + j - slots) * width;
        weight[j] = content_weight(fixture, j < slots ? recent : window);
        if (j < slots) memory += weight[j];
        usage[j] = 0.0;
    }
    double sum = memory;
    for (int i = 0; i < counted; i++) {
        sum += weight[slots + i];
        for (int j = 0; j <= slots + i; j++) usage[j] += weight[j] / sum / counted;
    }
}

/* How many slots have more usage, or as much and are older. */
static int rank(const double *usage, int length, int slot)
{
    int before = 0;
    for (int j = 0; j < length; j++)
        before += usage[j] > usage[slot] || (usage[j] == usage[slot] && j < slot);
    return before;
}

static void check_measured_usage(int slots)
{
    enum { SLOTS = 6, KEPT = 3 };
    Setting setting = {.model = {.layers = 1,
                                 .heads = 1,
                                 .window = SLOTS,
                                 .memory = {slots},
                                 .compressed_memory = {6},
                                 .compression = COMPRESSION_MOST_USED},
                       .evaluates = true};
    Fixture fixture;
    TestWindow window;
    fixture_create(&fixture, &setting);
    Model *model = &fixture.model;
    leave_content_only(&fixture);
    Tensor recent = model->memory[0].recent;
    fixture_draw(recent.data, tensor_count(recent), "recent");
    for (int b = 0; b < model->rows; b++) model->memory[0].valid_recent[b] = slots;
    fixture_window(&fixture, &window, 2); /* its last row is partial */
    model_forward(model, &window.view);

    double usage[FIXTURE_ROWS][2 * FIXTURE_WINDOW] = {{0}};
    for (int b = 0; b < model->rows; b++) expected_usage(&fixture, b, window.counted[b], usage[b]);
    model_remember(model, &window.view);
    int64_t width = fixture.options.width;
    for (int b = 0; b < model->rows; b++) {
        int kept = 0;
        for (int j = 0; j < SLOTS; j++) {
            if (rank(usage[b], SLOTS, j) >= KEPT) continue;
            const Real *fresh = model->compression_work.fresh.data + (b * KEPT + kept++) * width;
            const Real *evicted = model->compression_work.evicted.data + (b * SLOTS + j) * width;
            assert_memory_equal(fresh, evicted, checked_size(width) * sizeof(Real));
        }
        assert_int_equal(kept, KEPT);
    }
    fixture_destroy(&fixture);
}

static void most_used_measures_both_sources(void **state)
{
    (void)state;
    check_measured_usage(8);
    check_measured_usage(6);
    check_measured_usage(4);
    check_measured_usage(2);
    check_measured_usage(0);
}

/* --- compression losses ----------------------------------------------------------------------- */

/* fresh = (1,2) W_0 + (3,5) W_1 = (6,7), rebuilt = (6, 3.5, 7, 3), off by (5, 1.5, 4, -2) */
static void autoencoding_of_one_group_by_hand(void **state)
{
    (void)state;
    static const Real evicted[] = {1, 2, 3, 5}, conv[] = {1, 0, 0, 2, 0, 1, 1, 0};
    static const Real decoder[] = {1, 0, 0, 0.5, 0, 0.5, 1, 0};
    static const Real ddecoder[] = {60, 18, 48, -24, 70, 21, 56, -28};
    static const Real dconv[] = {8, 9.5, 16, 19, 24, 28.5, 40, 47.5};
    Setting setting = {.model = {.layers = 1,
                                 .width = 2,
                                 .heads = 1,
                                 .window = 2,
                                 .memory = {2},
                                 .compressed_memory = {1},
                                 .compression = COMPRESSION_CONV,
                                 .compression_loss = COMPRESSION_LOSS_AUTOENCODING},
                       .rows = 1};
    Fixture fixture;
    TestWindow window;
    fixture_create(&fixture, &setting);
    fixture_window(&fixture, &window, 1);
    Model *model = &fixture.model;
    memcpy(model->compressors[0].conv.value.data, conv, sizeof conv);
    memcpy(model->decoders[0].value.data, decoder, sizeof decoder);
    memcpy(model->memory[0].recent.data, evicted, sizeof evicted);
    model->memory[0].valid_recent[0] = 2;
    fixture_run_window(&fixture, &window.view);
    assert_true(model->compression_sums[0].sum == 47.25);
    assert_true(model->compression_sums[0].count == 4.0);
    assert_memory_equal(model->decoders[0].gradient.data, ddecoder, sizeof ddecoder);
    assert_memory_equal(model->compressors[0].conv.gradient.data, dconv, sizeof dconv);
    fixture_destroy(&fixture);
}

/* Softmax over pairs of equal slots reads what softmax over one of each pair reads. */
static void attention_loss_vanishes_where_groups_are_equal(void **state)
{
    (void)state;
    Setting setting = {.model = {.layers = 1,
                                 .memory = {8},
                                 .compressed_memory = {4},
                                 .compression = COMPRESSION_CONV,
                                 .compression_loss = COMPRESSION_LOSS_ATTENTION}};
    for (int equal = 0; equal < 2; equal++) {
        Fixture fixture;
        TestWindow window;
        fixture_create(&fixture, &setting);
        Model *model = &fixture.model;
        Tensor conv = model->compressors[0].conv.value, recent = model->memory[0].recent;
        int64_t width = conv.dims[1];
        for (int64_t i = 0; i < tensor_count(conv); i++)
            conv.data[i] = (Real)(i / width % width == i % width ? 0.5 : 0.0);
        fixture_draw(recent.data, tensor_count(recent), "recent");
        for (int j = 1; j < 3 * 8 && equal; j += 2)
            memcpy(recent.data + j * width, recent.data + (j - 1) * width,
                   checked_size(width) * sizeof(Real));
        for (int b = 0; b < 3; b++) model->memory[0].valid_recent[b] = 8;
        fixture_window(&fixture, &window, 1);
        fixture_run_window(&fixture, &window.view);
        LossSum loss = model->compression_sums[0];
        assert_true(loss.count == 3.0 * 4.0 * (double)width);
        /* 144 squares of a few roundings of numbers of a size of 1 */
        assert_true(equal ? loss.sum <= 1e-10 : loss.sum >= 1e-2);
        fixture_destroy(&fixture);
    }
}

/* Of rows with 4, 4, 4 counted positions in windows 0 and 1; 4, 4, 1 in window 2; and in window 3
 * 4, 2, 4, where the last row starts a document. T = 4, c = 2, D = 12. */
typedef struct Count {
    int slots;
    CompressionLossKind loss;
    int terms[4]; /* of windows 0 .. 3: queries, or groups */
} Count;

static void losses_count_what_is_valid(void **state)
{
    (void)state;
    static const Count counts[] = {
        {4, COMPRESSION_LOSS_ATTENTION, {0, 4 + 4 + 4, 4 + 4 + 1, 4 + 2}},
        {2, COMPRESSION_LOSS_ATTENTION, {2 + 2 + 2, 2 + 2 + 2, 2 + 2, 2 + 2}},
        {0, COMPRESSION_LOSS_ATTENTION, {0, 0, 0, 0}},
        {8, COMPRESSION_LOSS_ATTENTION, {0, 0, 4 + 4 + 1, 4 + 2}},
        {4, COMPRESSION_LOSS_AUTOENCODING, {0, 2 + 2 + 2, 2 + 2 + 2, 2 + 2}},
        {2, COMPRESSION_LOSS_AUTOENCODING, {1 + 1 + 1, 2 + 2 + 2, 2 + 2 + 1, 2 + 2 + 1}},
        {0, COMPRESSION_LOSS_AUTOENCODING, {2 + 2 + 2, 2 + 2 + 2, 2 + 2, 2 + 1 + 2}},
        {8, COMPRESSION_LOSS_AUTOENCODING, {0, 0, 2 + 2 + 2, 2 + 2}},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        Setting setting = {.model = {.layers = 1,
                                     .memory = {counts[i].slots},
                                     .compressed_memory = {4},
                                     .compression = COMPRESSION_CONV,
                                     .compression_loss = counts[i].loss}};
        Fixture fixture;
        fixture_create(&fixture, &setting);
        int numbers = counts[i].loss == COMPRESSION_LOSS_ATTENTION ? 12 : 2 * 12;
        for (int64_t w = 0; w < 4; w++) {
            TestWindow window;
            fixture_window(&fixture, &window, w);
            fixture_run_window(&fixture, &window.view);
            LossSum loss = fixture.model.compression_sums[0];
            assert_true(loss.count == (double)(counts[i].terms[w] * numbers));
            assert_true((loss.sum > 0.0) == (loss.count > 0.0));
        }
        fixture_destroy(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memories_are_the_plain_lists),
        cmocka_unit_test(most_used_keeps_order_and_prefers_the_older),
        cmocka_unit_test(most_used_measures_both_sources),
        cmocka_unit_test(autoencoding_of_one_group_by_hand),
        cmocka_unit_test(attention_loss_vanishes_where_groups_are_equal),
        cmocka_unit_test(losses_count_what_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
