/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies, elementwise operations, dropout, sums and the optimiser of the CPU device against plain
 * double-precision loops. Layers, compression and products have files of their own.
 */
#include "tests/device_numbers.h"

/* Sizes below and above the one from which threads share the work, most of them odd. */
static const int64_t sizes[][2] = {{0, 5},  {1, 1},     {1, 3},    {17, 1},
                                   {3, 17}, {129, 257}, {1, 70001}};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

static void check_elementwise(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        Tensor x = numbers(sizes[s][0], sizes[s][1], 1), y = numbers(sizes[s][0], sizes[s][1], 2);
        Tensor sum = copy_of(y), scaled = copy_of(x), masked = copy_of(y);
        device->op->add(device, sum, x);
        device->op->scale(device, scaled, 0.25);
        device->op->relu_backward(device, masked, x);
        for (int64_t i = 0; i < tensor_count(x); i++) {
            /* One operation each: the same rounding as here. */
            assert_true(tensor_reals(sum)[i] == tensor_reals(y)[i] + tensor_reals(x)[i]);
            assert_true(tensor_reals(scaled)[i] == tensor_reals(x)[i] * (Real)0.25);
            assert_true(tensor_reals(masked)[i] ==
                        (tensor_reals(x)[i] > 0 ? tensor_reals(y)[i] : 0));
        }
        device->op->fill(device, x, -2.5);
        for (int64_t i = 0; i < tensor_count(x); i++) assert_true(tensor_reals(x)[i] == (Real)-2.5);
        release(x), release(y), release(sum), release(scaled), release(masked);
    }
}

static void elementwise_operations_match_loops(void **state)
{
    (void)state;
    on_all_devices(check_elementwise);
}

static void check_storage(Device *device)
{
    Tensor host = numbers(301, 103, 1), back = numbers(301, 103, 2);
    size_t bytes = (size_t)tensor_count(host) * sizeof(Real);
    Tensor x = tensor_2d(device->op->allocate(device, bytes), 301, 103);
    assert_non_null(tensor_reals(x));
    assert_int_equal((uintptr_t)tensor_reals(x) % 64, 0);
    for (int64_t i = 0; i < tensor_count(x); i++) assert_true(tensor_reals(x)[i] == 0);
    device->op->upload(device, x, tensor_reals(host));
    device->op->download(device, tensor_reals(back), x);
    assert_same_bits(back, host);
    /* To a place that is not aligned; a number before and one after it stay. */
    int64_t count = tensor_count(x) - 13;
    tensor_reals(back)[0] = tensor_reals(back)[count + 1] = (Real)0.75;
    device->op->download(device, tensor_reals(back) + 1, tensor_1d(tensor_reals(x) + 5, count));
    assert_true(tensor_reals(back)[0] == (Real)0.75 && tensor_reals(back)[count + 1] == (Real)0.75);
    assert_memory_equal(tensor_reals(back) + 1, tensor_reals(host) + 5,
                        (size_t)count * sizeof(Real));
    device->op->release(device, tensor_reals(x));
    release(host), release(back);
    assert_null(device->op->allocate(device, SIZE_MAX));
}

static void storage_keeps_numbers(void **state)
{
    (void)state;
    on_all_devices(check_storage);
}

static void check_copy_blocks(Device *device, int64_t blocks, int64_t length)
{
    Tensor from = numbers(blocks, length + 2, 1), to = numbers(blocks, length + 3, 2);
    Tensor before = copy_of(to);
    device->op->copy_blocks(device, tensor_part_1d(to, 1, length), length + 3,
                            tensor_part_1d(from, 2, length), length + 2, blocks, length);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < length + 3; i++) {
            bool copied = i >= 1 && i < length + 1;
            Real expected = copied ? tensor_reals(from)[b * (length + 2) + i + 1]
                                   : tensor_reals(before)[b * (length + 3) + i];
            assert_true(tensor_reals(to)[b * (length + 3) + i] == expected);
        }

    /* Within a block, down by one place. */
    Tensor shifted = copy_of(from);
    device->op->copy_blocks(device, shifted, length + 2, tensor_part_1d(shifted, 1, 1), length + 2,
                            blocks, length + 1);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t i = 0; i < length + 1; i++)
            assert_true(tensor_reals(shifted)[b * (length + 2) + i] ==
                        tensor_reals(from)[b * (length + 2) + i + 1]);
    release(from), release(to), release(before), release(shifted);
}

static void check_copies(Device *device)
{
    check_copy_blocks(device, 1, 1);
    check_copy_blocks(device, 3, 17);
    check_copy_blocks(device, 1, 20001);
    check_copy_blocks(device, 7, 5003);
    check_copy_blocks(device, 4, 0);
    check_copy_blocks(device, 0, 5);
}

static void copies_move_blocks_only(void **state)
{
    (void)state;
    on_all_devices(check_copies);
}

/* Whether the number of row b at position t and channel j of a tensor of this place is kept. */
static bool is_kept(RandomStream stream, DropoutPlace place, int64_t b, int64_t t, int64_t j,
                    double rate)
{
    uint64_t element =
        (uint64_t)((place.first_position + t) * place.channels + place.first_channel + j);
    uint32_t words[4];
    random_words(random_substream(stream, (uint64_t)(place.first_row + b), 0), element / 4, words);
    return words[element % 4] * 0x1p-32 >= rate;
}

static void check_dropout_at(Device *device, const int64_t shape[3], DropoutPlace place)
{
    const double rate = 0.3;
    RandomStream stream = random_stream(7, "tests/dropout");
    int64_t positions = shape[1], n = shape[2], num_kept = 0;
    Tensor x = numbers_3d(shape[0], positions, n, 1), y = copy_of(x), unchanged = copy_of(x);
    device->op->dropout(device, y, stream, place, rate);
    device->op->dropout(device, unchanged, stream, place, 0.0);
    assert_same_bits(unchanged, x);
    for (int64_t i = 0; i < tensor_count(x); i++) {
        bool kept = is_kept(stream, place, i / (positions * n), i / n % positions, i % n, rate);
        num_kept += kept;
        assert_near(tensor_reals(y)[i], kept ? (double)tensor_reals(x)[i] / (1.0 - rate) : 0.0,
                    2 * rounding);
    }
    /* Six standard deviations of a binomial count. */
    double count = (double)tensor_count(x);
    assert_near(num_kept, (1.0 - rate) * count, 6.0 * sqrt(rate * (1.0 - rate) * count));
    release(x), release(y), release(unchanged);
}

static void check_dropout(Device *device)
{
    static const int64_t shapes[][3] = {{0, 5, 1},  {1, 1, 1},    {3, 17, 1},    {2, 1, 257},
                                        {3, 2, 17}, {5, 1, 4099}, {2, 256, 256}, {2, 31, 129}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t n = shapes[s][2];
        check_dropout_at(device, shapes[s], (DropoutPlace){11, 0, 0, n});
        check_dropout_at(device, shapes[s], (DropoutPlace){11, 3, 0, n});
        check_dropout_at(device, shapes[s], (DropoutPlace){11, 3, 5, n + 6});
        check_dropout_at(device, shapes[s], (DropoutPlace){0, 129, 127, n + 127});
    }
}

static void dropout_draws_the_documented_words(void **state)
{
    (void)state;
    on_all_devices(check_dropout);
}

/* A rank holds some rows, positions and channels: what it drops there is what one rank that holds
 * everything drops there. Words come in fours and, on the CPU, in blocks of 128: some parts begin
 * or end beside their edges. */
static void check_dropout_parts(Device *device)
{
    enum { ROWS = 3, POSITIONS = 37, CHANNELS = 261 };
    static const Span rows[] = {{0, ROWS}, {1, 2}};
    static const Span positions[] = {{0, POSITIONS}, {0, 1}, {5, 17}, {36, 1}, {4, 32}, {7, 0}};
    static const Span channels[] = {{0, CHANNELS}, {0, 1},   {3, 6},     {4, 128}, {127, 2},
                                    {126, 135},    {131, 1}, {130, 131}, {257, 4}, {1, 260}};
    RandomStream stream = random_stream(8, "tests/dropout");
    Tensor x = numbers_3d(ROWS, POSITIONS, CHANNELS, 1), dropped = copy_of(x);
    device->op->dropout(device, dropped, stream, (DropoutPlace){20, 0, 0, CHANNELS}, 0.4);

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t t = 0; t < sizeof positions / sizeof *positions; t++)
            for (size_t j = 0; j < sizeof channels / sizeof *channels; j++) {
                Tensor part = part_of(x, rows[r], positions[t], channels[j]);
                Tensor expected = part_of(dropped, rows[r], positions[t], channels[j]);
                DropoutPlace place = {20 + rows[r].first, positions[t].first, channels[j].first,
                                      CHANNELS};
                device->op->dropout(device, part, stream, place, 0.4);
                assert_same_bits(part, expected);
                release(part), release(expected);
            }
    release(x), release(dropped);
}

static void dropout_of_a_part_is_the_part_of_dropout(void **state)
{
    (void)state;
    on_all_devices(check_dropout_parts);
}

static void check_sums(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        int64_t rows = sizes[s][0], n = sizes[s][1];
        Tensor x = numbers(rows, n, 1), bias = numbers(1, n, 2), sums = copy_of(bias);
        Tensor again = copy_of(bias);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < rows * n; i++) {
            sum += (double)tensor_reals(x)[i];
            squares += (double)tensor_reals(x)[i] * (double)tensor_reals(x)[i];
        }
        /* Sums in double precision, in another order. */
        assert_near(device->op->sum(device, x), sum, 1e-11 * (double)(1 + rows * n));
        assert_near(device->op->sum_of_squares(device, x), squares, 1e-13 * (1 + squares));
        assert_true(device->op->sum(device, x) == device->op->sum(device, x));

        device->op->add_column_sums(device, sums, x);
        device->op->add_column_sums(device, again, x);
        assert_same_bits(sums, again);
        for (int64_t j = 0; j < n; j++) {
            double expected = (double)tensor_reals(bias)[j];
            for (int64_t i = 0; i < rows; i++) expected += (double)tensor_reals(x)[i * n + j];
            /* `rows` roundings of sums of a size of sqrt(rows) */
            assert_near(tensor_reals(sums)[j], expected, rounding * (double)(4 + rows));
        }
        release(x), release(bias), release(sums), release(again);
    }
}

static void sums_match_loops(void **state)
{
    (void)state;
    on_all_devices(check_sums);
}

static void check_squared_error(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        int64_t rows = sizes[s][0], n = sizes[s][1];
        Tensor y = numbers(rows, n, 1), target = numbers(rows, n, 2), dy = numbers(rows, n, 3);
        bool *mask = calloc((size_t)rows + 1, sizeof *mask);
        double expected = 0;
        for (int64_t i = 0; i < rows; i++) mask[i] = i % 3 != 1;
        for (int64_t i = 0; i < rows * n; i++) {
            double error = (double)tensor_reals(y)[i] - (double)tensor_reals(target)[i];
            if (mask[i / n]) expected += error * error;
        }

        double found = device->op->squared_error(device, dy, y, target, mask);
        assert_near(found, expected, 1e-12 * (1 + expected)); /* double, another order */
        for (int64_t i = 0; i < rows * n; i++)
            assert_near(tensor_reals(dy)[i],
                        mask[i / n]
                            ? 2.0 * ((double)tensor_reals(y)[i] - (double)tensor_reals(target)[i])
                            : 0.0,
                        4 * rounding);
        assert_true(device->op->squared_error(device, tensor_none, y, target, mask) == found);
        assert_true(device->op->squared_error(device, y, y, target, mask) == found);
        assert_same_bits(y, dy);
        free(mask);
        release(y), release(target), release(dy);
    }
}

static void squared_error_counts_masked_rows(void **state)
{
    (void)state;
    on_all_devices(check_squared_error);
}

/* Two updates by the formulas of Kingma & Ba, algorithm 1. */
static void check_adam(Device *device)
{
    AdamOptions options = {3e-2, 0.9, 0.999, 1e-8, 0.5, 0.1, 0};
    for (int s = 0; s < NUM_SIZES; s++) {
        int64_t count = sizes[s][0] * sizes[s][1];
        Tensor w = numbers(1, count, 1), m = numbers(1, count, 2), v = numbers(1, count, 3);
        Tensor before = copy_of(w), g[3] = {{0}, numbers(1, count, 4), numbers(1, count, 5)};
        device->op->fill(device, m, 0);
        device->op->fill(device, v, 0);
        for (options.update = 1; options.update <= 2; options.update++)
            device->op->adam(device, w, m, v, g[options.update], options);

        for (int64_t i = 0; i < count; i++) {
            double weight = (double)tensor_reals(before)[i], first = 0, second = 0;
            for (int t = 1; t <= 2; t++) {
                double gradient = 0.5 * (double)tensor_reals(g[t])[i];
                first = 0.9 * first + 0.1 * gradient;
                second = 0.999 * second + 0.001 * gradient * gradient;
                double step =
                    first / (1 - pow(0.9, t)) / (sqrt(second / (1 - pow(0.999, t))) + 1e-8);
                weight -= 3e-2 * step + 3e-2 * 0.1 * weight;
            }
            /* Numbers below 1; some ten roundings each. The step is below 10. */
            assert_near(tensor_reals(m)[i], first, 4 * rounding);
            assert_near(tensor_reals(v)[i], second, 4 * rounding);
            assert_near(tensor_reals(w)[i], weight, 8 * rounding);
        }
        release(w), release(m), release(v), release(before), release(g[1]), release(g[2]);
    }
}

static void adam_follows_the_paper(void **state)
{
    (void)state;
    on_all_devices(check_adam);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_operations_match_loops),
        cmocka_unit_test(storage_keeps_numbers),
        cmocka_unit_test(copies_move_blocks_only),
        cmocka_unit_test(dropout_draws_the_documented_words),
        cmocka_unit_test(dropout_of_a_part_is_the_part_of_dropout),
        cmocka_unit_test(sums_match_loops),
        cmocka_unit_test(squared_error_counts_masked_rows),
        cmocka_unit_test(adam_follows_the_paper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
