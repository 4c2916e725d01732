/* SPDX-License-Identifier: Apache-2.0
 *
 * What `most_used` keeps, and the compression losses where they can be worked out by hand.
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

/* Numbers for the memory of layer 0, all rows. */
static Tensor draw_recent(const Fixture *fixture)
{
    int64_t rows = fixture->model.memory[0].rows, slots = fixture->options.memory[0];
    Real *numbers = calloc(checked_size(rows * slots * fixture->options.width) + 1, sizeof(Real));
    assert_non_null(numbers);
    Tensor recent = tensor_3d(numbers, rows, slots, fixture->options.width);
    fixture_draw(numbers, tensor_count(recent), "recent");
    return recent;
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
    memcpy(tensor_reals(work->usage), usage, sizeof usage);
    fixture_draw(tensor_reals(work->evicted), tensor_count(work->evicted), "evicted");
    compressor->kind->forward(fixture.device, compressor, work->evicted);
    for (int b = 0; b < FIXTURE_ROWS; b++) {
        for (int i = 0; i < KEPT; i++) {
            const Real *found = tensor_reals(work->fresh) + (b * KEPT + i) * width;
            const Real *expected = tensor_reals(work->evicted) + (b * SLOTS + kept[b][i]) * width;
            assert_memory_equal(found, expected, checked_size(width) * sizeof(Real));
        }
    }
    fixture_destroy(&fixture);
}

/* Queries and positions out of the way, a logit is u . (s Wk) of its slot alone. */
static void leave_content_only(Fixture *fixture)
{
    AttentionLayer *layer = &fixture->model.flights[0].layers[0].attention;
    const Weight weights[] = {layer->query, layer->position, layer->position_bias,
                              layer->position_bias_compressed};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        fixture->device->op->fill(fixture->device, weights[i].value, 0.0);
    model_weights_changed(&fixture->model);
}

static double content_weight(const Fixture *fixture, const Real *slot)
{
    const AttentionLayer *layer = &fixture->model.flights[0].layers[0].attention;
    int width = fixture->options.width;
    double logit = 0.0;
    for (int i = 0; i < width; i++)
        for (int j = 0; j < width; j++)
            logit += (double)slot[i] * (double)tensor_reals(layer->key.value)[i * width + j] *
                     (double)tensor_reals(layer->content_bias.value)[j];
    return exp(logit / sqrt(width));
}

/* Adds the mean weight on every slot: of full memory, then (M < T) of the window itself. */
static void expected_usage(const Fixture *fixture, Tensor held, int row, int counted, double *usage)
{
    const Real *a = tensor_reals(fixture->model.flights[0].layers[0].a);
    int64_t width = fixture->options.width;
    int length = fixture->options.window, slots = fixture->options.memory[0], all = slots + length;
    double weight[2 * FIXTURE_WINDOW] = {0}, memory = 0.0;
    for (int j = 0; j < all; j++) {
        const Real *recent = tensor_reals(held) + (row * slots + j) * width;
        const Real *window = a + (row * length + j - slots) * width;
        weight[j] = content_weight(fixture, j < slots ? recent : window);
        if (j < slots) memory += weight[j];
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
    Tensor recent = draw_recent(&fixture);
    fixture_set_recent(&fixture, 0, recent);
    fixture_window(&fixture, &window, 2); /* its last row is partial */
    fixture_run_window(&fixture, &window.view);

    int64_t width = fixture.options.width;
    for (int b = 0; b < window.view.rows; b++) {
        double usage[2 * FIXTURE_WINDOW] = {0};
        expected_usage(&fixture, recent, b, window.counted[b], usage);
        int kept = 0;
        for (int j = 0; j < SLOTS; j++) {
            if (rank(usage, SLOTS, j) >= KEPT) continue;
            const Real *fresh =
                tensor_reals(model->compression_work.fresh) + (b * KEPT + kept++) * width;
            const Real *evicted =
                tensor_reals(model->compression_work.evicted) + (b * SLOTS + j) * width;
            assert_memory_equal(fresh, evicted, checked_size(width) * sizeof(Real));
        }
        assert_int_equal(kept, KEPT);
    }
    free(tensor_reals(recent));
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
    static Real evicted[] = {1, 2, 3, 5};
    static const Real conv[] = {1, 0, 0, 2, 0, 1, 1, 0};
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
    memcpy(tensor_reals(model->compressors[0].conv.value), conv, sizeof conv);
    memcpy(tensor_reals(model->decoders[0].value), decoder, sizeof decoder);
    fixture_set_recent(&fixture, 0, tensor_3d(evicted, 1, 2, 2));
    fixture_run_window(&fixture, &window.view);
    assert_true(model->compression_sums[0].sum == 47.25);
    assert_true(model->compression_sums[0].count == 4.0);
    assert_memory_equal(tensor_reals(model->decoders[0].gradient), ddecoder, sizeof ddecoder);
    assert_memory_equal(tensor_reals(model->compressors[0].conv.gradient), dconv, sizeof dconv);
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
        Tensor conv = model->compressors[0].conv.value, recent = draw_recent(&fixture);
        int64_t width = conv.dims[1];
        for (int64_t i = 0; i < tensor_count(conv); i++)
            tensor_reals(conv)[i] = (Real)(i / width % width == i % width ? 0.5 : 0.0);
        for (int j = 1; j < 3 * 8 && equal; j += 2)
            memcpy(tensor_reals(recent) + j * width, tensor_reals(recent) + (j - 1) * width,
                   checked_size(width) * sizeof(Real));
        fixture_set_recent(&fixture, 0, recent);
        fixture_window(&fixture, &window, 1);
        fixture_run_window(&fixture, &window.view);
        LossSum loss = model->compression_sums[0];
        assert_true(loss.count == 3.0 * 4.0 * (double)width);
        /* 144 squares of a few roundings of numbers of a size of 1 */
        assert_true(equal ? loss.sum <= 1e-10 : loss.sum >= 1e-2);
        free(tensor_reals(recent));
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
        cmocka_unit_test(most_used_keeps_order_and_prefers_the_older),
        cmocka_unit_test(most_used_measures_both_sources),
        cmocka_unit_test(autoencoding_of_one_group_by_hand),
        cmocka_unit_test(attention_loss_vanishes_where_groups_are_equal),
        cmocka_unit_test(losses_count_what_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
