/* SPDX-License-Identifier: Apache-2.0
 *
 * Embedding and cross entropy where the vocabulary is cut into slices, one for each rank of a
 * tensor group, against the whole and against plain double-precision loops.
 */
#include "tests/device_numbers.h"

static const int64_t sizes[][2] = {{0, 5}, {1, 1}, {1, 3}, {17, 1}, {3, 17}, {129, 257}};
enum { NUM_SIZES = sizeof sizes / sizeof *sizes, MOST_SLICES = 4 };

/* Slices of different lengths, one of them empty. What they look up sums to the whole; gradients go
 * to the slice's own tokens alone. */
static void check_embedding_slices(Device *device, int64_t rows, int64_t width)
{
    enum { VOCABULARY = 11 };
    static const Span slices[] = {{0, 4}, {4, 0}, {4, 1}, {5, 6}};
    Tensor table = numbers(VOCABULARY, width, 1), dtable = numbers(VOCABULARY, width, 2);
    Tensor y = numbers(rows, width, 3), part = copy_of(y), sum = copy_of(y), dy = copy_of(y);
    int32_t *tokens = calloc((size_t)rows + 1, sizeof *tokens);
    for (int64_t i = 0; i < rows; i++) tokens[i] = (int32_t)(i * i % VOCABULARY);

    device->op->embedding_forward(device, y, table, tokens, 0, 1.5);
    device->op->fill(device, sum, 0);
    Tensor before = copy_of(dtable), dslices = copy_of(dtable);
    device->op->embedding_backward(device, dtable, dy, tokens, 0, 1.5);
    for (size_t s = 0; s < sizeof slices / sizeof *slices; s++) {
        int64_t first = slices[s].first;
        Tensor slice = copy_of(tensor_slice(table, first, slices[s].count));
        Tensor dslice = copy_of(tensor_slice(before, first, slices[s].count));
        device->op->embedding_forward(device, part, slice, tokens, first, 1.5);
        for (int64_t i = 0; i < rows * width; i++) {
            int64_t token = tokens[i / width] - first;
            bool here = token >= 0 && token < slices[s].count;
            assert_true(tensor_reals(part)[i] == (here ? tensor_reals(y)[i] : 0));
        }
        device->op->add(device, sum, part);
        device->op->embedding_backward(device, dslice, dy, tokens, first, 1.5);
        memcpy(tensor_reals(dslices) + first * width, tensor_reals(dslice),
               (size_t)tensor_count(dslice) * sizeof(Real));
        release(slice), release(dslice);
    }
    for (int64_t i = 0; i < rows * width; i++)
        assert_true(tensor_reals(sum)[i] == tensor_reals(y)[i]);
    assert_same_bits(dslices, dtable); /* the same additions in the same order */
    free(tokens);
    release(table), release(dtable), release(y), release(part), release(sum), release(dy);
    release(before), release(dslices);
}

static void check_sliced_embedding(Device *device)
{
    for (int s = 0; s < NUM_SIZES; s++) check_embedding_slices(device, sizes[s][0], sizes[s][1]);
    check_embedding_slices(device, 300, 65);
}

static void embedding_slices_sum_to_the_whole(void **state)
{
    (void)state;
    on_all_devices(check_sliced_embedding);
}

/* Cross entropy from slices [edges[s], edges[s + 1]) of the vocabulary, each alone as on its own
 * rank; all find the same nats. With `gradient` it replaces the logits. */
static void sliced_cross_entropy(Device *device, Tensor nats, Tensor logits, const int32_t *targets,
                                 const int64_t *edges, int slices, bool gradient)
{
    int64_t rows = logits.dims[0];
    Tensor parts = numbers_3d(slices, rows, 3, 5), own[MOST_SLICES];
    for (int s = 0; s < slices; s++) {
        Span columns = {edges[s], edges[s + 1] - edges[s]};
        own[s] = columns_of(logits, columns);
        Tensor part = tensor_slice(parts, s, 1);
        device->op->cross_entropy_slice(device, part, own[s], targets, columns.first);
    }
    for (int s = 0; s < slices; s++) {
        Tensor found = numbers(1, rows, 6), before = copy_of(own[s]);
        device->op->cross_entropy_join(device, found, own[s], parts, targets, edges[s], gradient);
        if (s > 0) assert_same_bits(found, nats);
        if (!gradient) assert_same_bits(own[s], before);
        memcpy(tensor_reals(nats), tensor_reals(found), (size_t)rows * sizeof(Real));
        for (int64_t i = 0; i < tensor_count(own[s]); i++) {
            int64_t n = own[s].dims[1];
            tensor_reals(logits)[i / n * logits.dims[1] + edges[s] + i % n] =
                tensor_reals(own[s])[i];
        }
        release(found), release(before), release(own[s]);
    }
    release(parts);
}

static void check_slices(Device *device, int64_t rows, int64_t n, const int *ninths, int slices,
                         double size)
{
    Tensor logits = numbers(rows, n, 1), whole_nats = numbers(1, rows, 3);
    Tensor nats = numbers(1, rows, 4), nats_again = copy_of(nats);
    int32_t *targets = calloc((size_t)rows + 1, sizeof *targets);
    int64_t edges[MOST_SLICES + 1];
    for (int s = 0; s <= slices; s++) edges[s] = n * ninths[s] / 9;
    for (int64_t i = 0; i < rows; i++) targets[i] = i % 4 == 3 ? -1 : (int32_t)(i * 5 % n);
    device->op->scale(device, logits, size);

    Tensor whole = copy_of(logits), gradient = copy_of(logits);
    device->op->cross_entropy(device, whole_nats, whole, targets, true);
    sliced_cross_entropy(device, nats, gradient, targets, edges, slices, true);
    sliced_cross_entropy(device, nats_again, logits, targets, edges, slices, false);
    assert_same_bits(nats, nats_again);
    /* Nats reach twice the size of the logits, and log(sum) is rounded to it before exp. */
    double tolerance = (4 + 2 * size) * rounding;
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0, highest = -INFINITY;
        for (int64_t j = 0; j < n; j++)
            highest = fmax(highest, (double)tensor_reals(logits)[i * n + j]);
        for (int64_t j = 0; j < n; j++)
            sum += exp((double)tensor_reals(logits)[i * n + j] - highest);
        bool counted = targets[i] >= 0;
        double expected =
            counted ? log(sum) + highest - (double)tensor_reals(logits)[i * n + targets[i]] : 0.0;
        assert_near(tensor_reals(nats)[i], expected, tolerance);
        assert_near(tensor_reals(nats)[i], tensor_reals(whole_nats)[i], tolerance);
        for (int64_t j = 0; j < n; j++) {
            double softmax = exp((double)tensor_reals(logits)[i * n + j] - highest) / sum;
            assert_near(tensor_reals(gradient)[i * n + j],
                        counted ? softmax - (j == targets[i]) : 0.0, tolerance);
            assert_near(tensor_reals(gradient)[i * n + j], tensor_reals(whole)[i * n + j],
                        tolerance);
        }
    }
    free(targets);
    release(logits), release(whole_nats), release(nats), release(nats_again), release(whole);
    release(gradient);
}

static void check_sliced_cross_entropy(Device *device)
{
    /* Edges in ninths of the vocabulary: 1 to 4 slices, uneven, some empty. */
    static const struct {
        int slices, ninths[MOST_SLICES + 1];
    } cuts[] = {{1, {0, 9}},       {2, {0, 4, 9}},    {3, {0, 1, 4, 9}},   {2, {0, 9, 9}},
                {3, {0, 0, 7, 9}}, {3, {0, 4, 4, 9}}, {4, {0, 2, 4, 8, 9}}};
    static const double magnitudes[] = {1, 20, 1000};
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++)
        for (size_t m = 0; m < sizeof magnitudes / sizeof *magnitudes; m++)
            for (int s = 0; s < NUM_SIZES; s++)
                check_slices(device, sizes[s][0], sizes[s][1], cuts[c].ninths, cuts[c].slices,
                             magnitudes[m]);
}

static void cross_entropy_of_slices_is_that_of_the_whole(void **state)
{
    (void)state;
    on_all_devices(check_sliced_cross_entropy);
}

static void check_sliced_extremes(Device *device)
{
    Real row[] = {(Real)1000, (Real)-1000, -(Real)INFINITY, (Real)NAN}, one[1];
    Tensor nats = tensor_1d(one, 1), three = tensor_2d(row, 1, 3);
    const int32_t first[] = {0}, second[] = {1};
    const int64_t pair_and_one[] = {0, 2, 3}, one_and_pair[] = {0, 1, 3}, with_nan[] = {0, 2, 4};
    sliced_cross_entropy(device, nats, three, second, one_and_pair, 2, false);
    assert_true(one[0] == 2000);
    sliced_cross_entropy(device, nats, three, second, pair_and_one, 2, false);
    assert_true(one[0] == 2000);
    sliced_cross_entropy(device, nats, three, first, pair_and_one, 2, true);
    assert_true(one[0] == 0 && row[0] == 0 && row[1] == 0 && row[2] == 0);
    row[2] = -(Real)INFINITY;
    sliced_cross_entropy(device, nats, tensor_2d(row, 1, 4), first, with_nan, 2, false);
    bool is_number = !isnan(one[0]);
    assert_false(is_number);
}

static void cross_entropy_of_slices_stands_extremes(void **state)
{
    (void)state;
    on_all_devices(check_sliced_extremes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedding_slices_sum_to_the_whole),
        cmocka_unit_test(cross_entropy_of_slices_is_that_of_the_whole),
        cmocka_unit_test(cross_entropy_of_slices_stands_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
