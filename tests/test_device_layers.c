/* SPDX-License-Identifier: Apache-2.0
 *
 * Layer norm, embedding, cross entropy and GELU of the CPU device against plain double-precision
 * loops; backward passes against differences.
 */
#include "tests/device_numbers.h"

static const int64_t sizes[][2] = {{0, 5}, {1, 1}, {1, 3}, {17, 1}, {3, 17}, {129, 257}};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes };

/* sum of dy * layer_norm(x) over one row, in double precision */
static double norm_dot(int64_t n, const double *x, const Real *scale, const Real *shift,
                       const Real *dy)
{
    double mean = 0, variance = 0, dot = 0;
    for (int64_t j = 0; j < n; j++) mean += x[j] / (double)n;
    for (int64_t j = 0; j < n; j++) variance += (x[j] - mean) * (x[j] - mean) / (double)n;
    for (int64_t j = 0; j < n; j++) {
        double y = (x[j] - mean) / sqrt(variance + 1e-5) * (double)scale[j] + (double)shift[j];
        dot += (double)dy[j] * y;
    }
    return dot;
}

/* Changes every column of every row a little, up and down. */
static void check_norm_dx(Tensor dx, Tensor before, Tensor x, Tensor scale, Tensor shift, Tensor dy)
{
    enum { MAX_COLUMNS = 257 };
    int64_t rows = x.dims[0] < 5 ? x.dims[0] : 5, n = x.dims[1];
    const double step = 1e-5;
    double row[MAX_COLUMNS];
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < n; j++) row[j] = (double)tensor_reals(x)[i * n + j];
        for (int64_t j = 0; j < n; j++) {
            double kept = row[j];
            row[j] = kept + step;
            double above = norm_dot(n, row, tensor_reals(scale), tensor_reals(shift),
                                    tensor_reals(dy) + i * n);
            row[j] = kept - step;
            double below = norm_dot(n, row, tensor_reals(scale), tensor_reals(shift),
                                    tensor_reals(dy) + i * n);
            row[j] = kept;
            double expected =
                (double)tensor_reals(before)[i * n + j] + (above - below) / (2 * step);
            /* The difference is right to some 1e-8; the device sums n rounded terms. */
            assert_near(tensor_reals(dx)[i * n + j], expected, 1e-7 + 64 * rounding);
        }
    }
}

static void check_norm_size(Device *device, int64_t rows, int64_t n)
{
    Tensor x = numbers(rows, n, 1), scale = numbers(1, n, 2), shift = numbers(1, n, 3);
    Tensor y = numbers(rows, n, 4), mean = numbers(1, rows, 5), rstd = numbers(1, rows, 6);
    device->op->layer_norm_forward(device, y, mean, rstd, x, scale, shift);
    for (int64_t i = 0; i < rows; i++) {
        double average = 0, variance = 0;
        for (int64_t j = 0; j < n; j++) average += (double)tensor_reals(x)[i * n + j] / (double)n;
        for (int64_t j = 0; j < n; j++)
            variance += pow((double)tensor_reals(x)[i * n + j] - average, 2) / (double)n;
        double inverse = 1 / sqrt(variance + 1e-5);
        assert_near(tensor_reals(mean)[i], average, 8 * rounding);
        assert_near(tensor_reals(rstd)[i], inverse, 64 * rounding * inverse);
        for (int64_t j = 0; j < n; j++)
            assert_near(tensor_reals(y)[i * n + j],
                        ((double)tensor_reals(x)[i * n + j] - average) * inverse *
                                (double)tensor_reals(scale)[j] +
                            (double)tensor_reals(shift)[j],
                        64 * rounding);
    }

    Tensor dy = numbers(rows, n, 7), dx = numbers(rows, n, 8), dx_before = copy_of(dx);
    Tensor dscale = numbers(1, n, 9), dscale_before = copy_of(dscale),
           dscale_again = copy_of(dscale);
    Tensor dshift = numbers(1, n, 10), dshift_before = copy_of(dshift);
    Tensor dx_again = copy_of(dx), dshift_again = copy_of(dshift);
    device->op->layer_norm_backward(device, dx, dscale, dshift, mean, rstd, dy, x, scale);
    device->op->layer_norm_backward(device, dx_again, dscale_again, dshift_again, mean, rstd, dy, x,
                                    scale);
    assert_same_bits(dx, dx_again);
    assert_same_bits(dscale, dscale_again);
    assert_same_bits(dshift, dshift_again);
    check_norm_dx(dx, dx_before, x, scale, shift, dy);
    for (int64_t j = 0; j < n; j++) {
        double by_scale = (double)tensor_reals(dscale_before)[j],
               by_shift = (double)tensor_reals(dshift_before)[j];
        for (int64_t i = 0; i < rows; i++) {
            double z = ((double)tensor_reals(x)[i * n + j] - (double)tensor_reals(mean)[i]) *
                       (double)tensor_reals(rstd)[i];
            by_scale += (double)tensor_reals(dy)[i * n + j] * z;
            by_shift += (double)tensor_reals(dy)[i * n + j];
        }
        /* `rows` roundings of sums of a size of sqrt(rows) */
        assert_near(tensor_reals(dscale)[j], by_scale, rounding * (double)(8 + rows));
        assert_near(tensor_reals(dshift)[j], by_shift, rounding * (double)(8 + rows));
    }
    release(x), release(scale), release(shift), release(y), release(mean), release(rstd);
    release(dy), release(dx), release(dx_before), release(dx_again), release(dscale);
    release(dscale_before), release(dscale_again), release(dshift), release(dshift_before);
    release(dshift_again);
}

static void check_norm(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) check_norm_size(device, sizes[s][0], sizes[s][1]);
}

static void layer_norm_matches_differences(void **state)
{
    (void)state;
    on_all_devices(check_norm);
}

static void check_embedding(Device *device)
{
    enum { VOCABULARY = 7 };
    for (int s = 0; s < NUM_SIZES; s++) {
        int64_t rows = sizes[s][0], width = sizes[s][1];
        Tensor table = numbers(VOCABULARY, width, 1), y = numbers(rows, width, 2);
        Tensor dtable = numbers(VOCABULARY, width, 3), before = copy_of(dtable);
        Tensor again = copy_of(dtable);
        int32_t tokens[129];
        for (int64_t i = 0; i < rows; i++) tokens[i] = (int32_t)(i * i % VOCABULARY);

        device->op->embedding_forward(device, y, table, tokens, 0, 1.5);
        for (int64_t i = 0; i < rows * width; i++) {
            Real from = tensor_reals(table)[tokens[i / width] * width + i % width];
            assert_true(tensor_reals(y)[i] == (Real)1.5 * from);
        }
        device->op->embedding_backward(device, dtable, y, tokens, 0, 1.5);
        device->op->embedding_backward(device, again, y, tokens, 0, 1.5);
        assert_same_bits(dtable, again);
        for (int64_t v = 0; v < VOCABULARY * width; v++) {
            double expected = (double)tensor_reals(before)[v];
            for (int64_t i = 0; i < rows; i++)
                if (tokens[i] == v / width)
                    expected += 1.5 * (double)tensor_reals(y)[i * width + v % width];
            /* As many roundings as additions, of sums no larger than 1.5 * 1.5 of each */
            assert_near(tensor_reals(dtable)[v], expected, 3 * rounding * (double)(2 + rows));
        }
        release(table), release(y), release(dtable), release(before), release(again);
    }
}

static void embedding_matches_loops(void **state)
{
    (void)state;
    on_all_devices(check_embedding);
}

static void check_cross_entropy(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        int64_t rows = sizes[s][0], n = sizes[s][1];
        Tensor logits = numbers(rows, n, 1), gradient = numbers(rows, n, 2);
        Tensor nats = numbers(1, rows, 3), nats_again = copy_of(nats);
        int32_t targets[129];
        for (int64_t i = 0; i < rows; i++) targets[i] = i % 4 == 3 ? -1 : (int32_t)(i * 5 % n);
        device->op->scale(device, logits, 20); /* also exponentials that nearly vanish */
        memcpy(tensor_reals(gradient), tensor_reals(logits), (size_t)(rows * n) * sizeof(Real));
        device->op->cross_entropy(device, nats, gradient, targets, true);
        device->op->cross_entropy(device, nats_again, logits, targets, false);
        for (int64_t i = 0; i < rows; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++) sum += exp((double)tensor_reals(logits)[i * n + j]);
            bool counted = targets[i] >= 0;
            double expected =
                counted ? log(sum) - (double)tensor_reals(logits)[i * n + targets[i]] : 0.0;
            /* Nats up to some 50 are rounded to float; exp is right to 4 roundings. */
            assert_near(tensor_reals(nats)[i], expected, 40 * rounding);
            assert_near(tensor_reals(nats_again)[i], expected, 40 * rounding);
            for (int64_t j = 0; j < n; j++) {
                double softmax = exp((double)tensor_reals(logits)[i * n + j]) / sum;
                /* exp(x - max) starts from a difference of a size of 40, which is rounded. */
                assert_near(tensor_reals(gradient)[i * n + j],
                            counted ? softmax - (j == targets[i]) : 0.0, 32 * rounding);
            }
        }
        release(logits), release(gradient), release(nats), release(nats_again);
    }
}

static void cross_entropy_matches_loops(void **state)
{
    (void)state;
    on_all_devices(check_cross_entropy);
}

static void check_cross_entropy_extremes(Device *device)
{
    Real row[] = {(Real)1000, (Real)-1000, (Real)-INFINITY, (Real)NAN};
    Real nats[1];
    const int32_t first[] = {0}, second[] = {1};
    device->op->cross_entropy(device, tensor_1d(nats, 1), tensor_2d(row, 1, 3), second, false);
    assert_true(nats[0] == 2000);
    device->op->cross_entropy(device, tensor_1d(nats, 1), tensor_2d(row, 1, 3), first, true);
    assert_true(nats[0] == 0 && row[0] == 0 && row[1] == 0 && row[2] == 0);
    device->op->cross_entropy(device, tensor_1d(nats, 1), tensor_2d(row, 1, 4), first, false);
    assert_true(isnan(nats[0]));
}

static void cross_entropy_stands_extremes(void **state)
{
    (void)state;
    on_all_devices(check_cross_entropy_extremes);
}

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}

static void check_gelu(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) {
        Tensor x = numbers(sizes[s][0], sizes[s][1], 1), y = copy_of(x);
        Tensor dy = numbers(sizes[s][0], sizes[s][1], 2), dx = copy_of(dy);
        device->op->scale(device, x, 8);
        device->op->gelu_forward(device, y, x);
        device->op->gelu_backward(device, dx, x);
        for (int64_t i = 0; i < tensor_count(x); i++) {
            double at = (double)tensor_reals(x)[i], step = 1e-5;
            double slope = (gelu(at + step) - gelu(at - step)) / (2 * step);
            /* exp(u), |u| < 40, from a rounded u, is off by as many roundings where it matters */
            assert_near(tensor_reals(y)[i], gelu(at), 32 * rounding);
            assert_near(tensor_reals(dx)[i], slope * (double)tensor_reals(dy)[i],
                        1e-8 + 32 * rounding);
        }
        release(x), release(y), release(dy), release(dx);
    }
}

static void gelu_matches_differences(void **state)
{
    (void)state;
    on_all_devices(check_gelu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_norm_matches_differences),
        cmocka_unit_test(embedding_matches_loops),
        cmocka_unit_test(cross_entropy_matches_loops),
        cmocka_unit_test(cross_entropy_stands_extremes),
        cmocka_unit_test(gelu_matches_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
