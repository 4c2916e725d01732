/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold of the whole model whatever its numbers are: special cases that give the same as
 * simpler models, and changes of the input that change nothing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/checked.h"
#include "tests/model_settings.h"

enum { SCHEDULE = 9 }; /* windows */

static size_t bytes_of(Tensor x) { return checked_size(tensor_count(x)) * sizeof(Real); }

static void assert_same_bits(Tensor a, Tensor b, const char *what, const char *where)
{
    assert_int_equal(tensor_count(a), tensor_count(b));
    if (memcmp(tensor_reals(a), tensor_reals(b), bytes_of(a)) != 0)
        fail_msg("%s of '%s' differ", what, where);
}

/* A few hundred roundings of numbers of a size of 1, through several windows. */
static const double nats_tolerance = 2e-5;

static void assert_near_nats(Tensor a, Tensor b, const char *where)
{
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double difference = fabs((double)tensor_reals(a)[i] - (double)tensor_reals(b)[i]);
        if (!(difference <= nats_tolerance))
            fail_msg("nats of '%s' differ by %g", where, difference);
    }
}

/* Two models run the schedule side by side; `compare` looks at them after every window. */
typedef struct Pair {
    Fixture a, b;
} Pair;

static void pair_begin(Pair *pair, const Setting *a, const Setting *b)
{
    fixture_create(&pair->a, a);
    fixture_create(&pair->b, b);
}

static void pair_end(Pair *pair)
{
    fixture_destroy(&pair->a);
    fixture_destroy(&pair->b);
}

static void run_both(Pair *pair, int64_t index)
{
    TestWindow window;
    fixture_window(&pair->a, &window, index);
    fixture_run_window(&pair->a, &window.view);
    fixture_run_window(&pair->b, &window.view);
}

static void assert_same_nats(const Pair *pair, const char *where)
{
    assert_same_bits(fixture_tokens_nats(&pair->a), fixture_tokens_nats(&pair->b), "nats", where);
}

static void assert_same_gradients(const Pair *pair, const char *where)
{
    assert_same_bits(pair->a.parameters.gradient, pair->b.parameters.gradient, "gradients", where);
}

/* --- N = 0 is Transformer-XL ------------------------------------------------------------------ */

static void without_compressed_memory_no_option_matters(void **state)
{
    (void)state;
    const Setting plain = {.model = {.memory = {12, 6}, .window = 6, .dropout = 0.1}, .threads = 2};
    for (int f_c = COMPRESSION_MEAN; f_c <= COMPRESSION_MOST_USED; f_c++) {
        for (int loss = COMPRESSION_LOSS_NONE; loss <= COMPRESSION_LOSS_TASK; loss++) {
            Setting other = plain;
            other.model.compression = (CompressionKind)f_c;
            other.model.compression_loss = (CompressionLossKind)loss;
            other.model.compression_rate = 1 + (f_c + loss) % 3;
            other.model.bptt_windows = 1 + loss;
            other.model.positions = (Positions)((f_c + loss) % 3);
            other.model.num_dilations = 1 + f_c;
            other.model.dilations[0] = 1 + loss;
            Pair pair;
            pair_begin(&pair, &plain, &other);
            for (int64_t i = 0; i < SCHEDULE; i++) {
                run_both(&pair, i);
                assert_same_nats(&pair, "N = 0");
                assert_same_gradients(&pair, "N = 0");
                for (int l = 0; l < 2; l++)
                    assert_true(pair.b.model.compression_sums[l].count == 0.0);
            }
            pair_end(&pair);
        }
    }
}

/* --- conv with taps I/c is mean --------------------------------------------------------------- */

static void set_taps(Fixture *fixture)
{
    int rate = fixture->options.compression_rate;
    for (int l = 0; l < fixture->options.layers; l++) {
        Tensor conv = fixture->model.compressors[l].conv.value;
        int64_t width = conv.dims[1];
        memset(tensor_reals(conv), 0, bytes_of(conv));
        for (int64_t i = 0; i < conv.dims[0]; i++)
            tensor_reals(conv)[i * width + i % width] = (Real)(1.0 / rate);
    }
}

/* With c = 2 both are the sum of two halves in any order, exactly. */
static void check_taps(int rate, bool exactly)
{
    Setting mean = {.model = {.memory = {12, 24},
                              .compressed_memory = {8, 12},
                              .window = 12,
                              .compression_rate = rate},
                    .evaluates = true};
    Setting conv = mean;
    conv.model.compression = COMPRESSION_CONV;
    Pair pair;
    pair_begin(&pair, &mean, &conv);
    set_taps(&pair.b);
    for (int64_t i = 0; i < SCHEDULE; i++) {
        run_both(&pair, i);
        if (exactly) assert_same_nats(&pair, "conv as mean");
        assert_near_nats(fixture_tokens_nats(&pair.a), fixture_tokens_nats(&pair.b),
                         "conv as mean");
    }
    assert_true(pair.b.model.memory[1].valid_compressed[0] == 12);
    pair_end(&pair);
}

static void conv_with_equal_taps_is_mean(void **state)
{
    (void)state;
    check_taps(1, true);
    check_taps(2, true);
    check_taps(3, false);
    check_taps(4, false);
    check_taps(6, false);
}

/* --- other memory sizes than trained with ----------------------------------------------------- */

/* One document; `equal` windows in which the smaller memories still hold everything. */
static void check_larger(const Setting *smaller, const Setting *larger, int equal)
{
    static const bool go_on[FIXTURE_ROWS] = {false};
    bool differed = false;
    Pair pair;
    pair_begin(&pair, smaller, larger);
    assert_int_equal(parameters_total(&pair.a.parameters), parameters_total(&pair.b.parameters));
    for (int64_t i = 0; i < SCHEDULE; i++) {
        TestWindow window;
        fixture_window(&pair.a, &window, 0);
        if (i > 0) window.view.starts = go_on;
        fixture_run_window(&pair.a, &window.view);
        fixture_run_window(&pair.b, &window.view);
        Tensor a = fixture_tokens_nats(&pair.a), b = fixture_tokens_nats(&pair.b);
        if (i < equal) assert_near_nats(a, b, smaller->name);
        for (int64_t e = 0; e < tensor_count(a); e++) {
            double difference = fabs((double)tensor_reals(a)[e] - (double)tensor_reals(b)[e]);
            assert_true(isfinite(tensor_reals(a)[e]) && isfinite(tensor_reals(b)[e]));
            if (i >= equal && difference > 1e-4) differed = true;
        }
    }
    assert_true(differed);
    pair_end(&pair);
}

/* Window number w reads what w windows before it left: memory of M holds M/T windows, and
 * compressed memory of N a further N c/T. Only a larger N leaves what is compressed when as it
 * was. */
static void larger_memories_agree_until_they_hold_more(void **state)
{
    (void)state;
    for (int positions = POSITIONS_SEPARATE; positions <= POSITIONS_TEMPORAL; positions++) {
        const Setting small = {.name = "larger N",
                               .model = {.memory = {4, 8},
                                         .compressed_memory = {4, 4},
                                         .compression = COMPRESSION_CONV,
                                         .positions = (Positions)positions},
                               .evaluates = true};
        Setting more_compressed = small;
        more_compressed.model.compressed_memory[0] = 9;
        more_compressed.model.compressed_memory[1] = 10;
        check_larger(&small, &more_compressed, 1 + 1 + 2);

        Setting more_of_both = more_compressed;
        more_of_both.model.memory[0] = 6;
        more_of_both.model.memory[1] = 12;
        check_larger(&small, &more_of_both, 1 + 1);
    }
}

/* --- changes that change nothing -------------------------------------------------------------- */

/* Another token wherever there is padding. */
static void put_junk(const Fixture *fixture, TestWindow *window)
{
    int length = fixture->options.window;
    for (int i = 0; i < window->view.rows * length; i++)
        if (window->targets[i] < 0)
            window->inputs[i] = (window->inputs[i] + 1 + i % 5) % fixture->options.vocabulary;
}

static void padding_does_not_matter(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        Setting setting = model_settings[s];
        setting.rows = FIXTURE_ROWS;
        Pair pair;
        pair_begin(&pair, &setting, &setting);
        for (int64_t i = 0; i < SCHEDULE; i++) {
            TestWindow window;
            fixture_window(&pair.a, &window, i);
            fixture_run_window(&pair.a, &window.view);
            put_junk(&pair.b, &window);
            fixture_run_window(&pair.b, &window.view);
            assert_same_nats(&pair, setting.name);
            assert_same_gradients(&pair, setting.name);
            for (int l = 0; l < pair.a.options.layers; l++) {
                LossSum a = pair.a.model.compression_sums[l], b = pair.b.model.compression_sums[l];
                assert_true(a.sum == b.sum && a.count == b.count);
            }
        }
        pair_end(&pair);
    }
}

/* Row b of `to` is row order[b] of `from`. */
static void permute(TestWindow *to, const TestWindow *from, const int order[FIXTURE_ROWS])
{
    size_t length = checked_size(from->view.length), ints = length * sizeof(int32_t);
    to->view = from->view;
    for (int b = 0; b < from->view.rows; b++) {
        size_t at = checked_size(b) * length, source = checked_size(order[b]) * length;
        memcpy(to->inputs + at, from->inputs + source, ints);
        memcpy(to->targets + at, from->targets + source, ints);
        to->counted[b] = from->counted[order[b]];
        to->starts[b] = from->starts[order[b]];
    }
    to->view.inputs = to->inputs;
    to->view.targets = to->targets;
    to->view.counted = to->counted;
    to->view.starts = to->starts;
}

static Setting without_dropout(const Setting *from)
{
    Setting setting = *from;
    setting.rows = FIXTURE_ROWS;
    setting.threads = 2;
    setting.model.dropout = 0.0;
    setting.model.attention_dropout = 0.0;
    return setting;
}

/* Which rows of a product end up in the last, smaller piece of it depends on their order, and so
 * may their last bits; a row that saw another's memory would be off by more than 1e-2. */
static void order_of_rows_does_not_matter(void **state)
{
    (void)state;
    static const int order[FIXTURE_ROWS] = {2, 0, 3, 1};
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        Setting setting = without_dropout(&model_settings[s]);
        Pair pair;
        pair_begin(&pair, &setting, &setting);
        for (int64_t i = 0; i < SCHEDULE; i++) {
            TestWindow window, permuted;
            fixture_window(&pair.a, &window, i);
            permute(&permuted, &window, order);
            fixture_run_window(&pair.a, &window.view);
            fixture_run_window(&pair.b, &permuted.view);
            for (int b = 0; b < FIXTURE_ROWS; b++)
                assert_near_nats(tensor_slice(fixture_tokens_nats(&pair.b), b, 1),
                                 tensor_slice(fixture_tokens_nats(&pair.a), order[b], 1),
                                 setting.name);
        }
        pair_end(&pair);
    }
}

static void training_without_dropout_is_evaluation(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        Setting training = without_dropout(&model_settings[s]), evaluation = training;
        evaluation.evaluates = true;
        Pair pair;
        pair_begin(&pair, &training, &evaluation);
        for (int64_t i = 0; i < SCHEDULE; i++) {
            run_both(&pair, i);
            assert_same_nats(&pair, training.name);
        }
        pair_end(&pair);
    }
}

/* Dropout is off in evaluation, and on in training. */
static void evaluation_has_no_dropout(void **state)
{
    (void)state;
    Setting plain = {.model = {.memory = {4, 4}}, .evaluates = true};
    Setting dropout = plain, training = plain;
    dropout.model.dropout = dropout.model.attention_dropout = 0.5;
    training.model.attention_dropout = 0.5;
    training.evaluates = false;
    Pair pair;
    pair_begin(&pair, &plain, &dropout);
    for (int64_t i = 0; i < SCHEDULE; i++) {
        run_both(&pair, i);
        assert_same_nats(&pair, "dropout in evaluation");
    }
    pair_end(&pair);

    pair_begin(&pair, &plain, &training);
    run_both(&pair, 0);
    Tensor a = fixture_tokens_nats(&pair.a), b = fixture_tokens_nats(&pair.b);
    assert_true(memcmp(tensor_reals(a), tensor_reals(b), bytes_of(a)) != 0);
    pair_end(&pair);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void scratch_does_not_grow(Setting setting, NumberType operands)
{
    Fixture fixture;
    setting.operands = operands;
    setting.threads = 2;
    setting.model.width *= 8; /* so that cache lines do not make up for what was forgotten */
    setting.model.feed_forward *= 8;
    fixture_create(&fixture, &setting);
    size_t reserved = fixture.device->scratch_bytes;
    fixture_run_schedule(&fixture, SCHEDULE);
    if (fixture.device->scratch_bytes != reserved)
        fail_msg("'%s' in %s: %zu bytes of scratch, %zu were reserved", setting.name,
                 operands == NUMBER_BFLOAT16 ? "bfloat16" : "float32",
                 fixture.device->scratch_bytes, reserved);
    fixture_destroy(&fixture);
}

/* All is taken at the start, so that a run that begins has the memory to go on. */
static void updates_take_no_scratch(void **state)
{
    (void)state;
    for (int s = 0; s < NUM_MODEL_SETTINGS; s++) {
        Setting setting = model_settings[s];
        setting.model = fixture_options(setting.model);
        scratch_does_not_grow(setting, NUMBER_FLOAT32);
        scratch_does_not_grow(setting, NUMBER_BFLOAT16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_compressed_memory_no_option_matters),
        cmocka_unit_test(conv_with_equal_taps_is_mean),
        cmocka_unit_test(larger_memories_agree_until_they_hold_more),
        cmocka_unit_test(padding_does_not_matter),
        cmocka_unit_test(order_of_rows_does_not_matter),
        cmocka_unit_test(training_without_dropout_is_evaluation),
        cmocka_unit_test(evaluation_has_no_dropout),
        cmocka_unit_test(updates_take_no_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
