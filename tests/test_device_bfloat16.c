/* SPDX-License-Identifier: Apache-2.0
 *
 * bfloat16 on the CPU device: rounding against its definition, products against plain
 * double-precision loops, and all other operations against themselves in float32: what they give
 * for bfloat16 is what they give for the same numbers widened, rounded once.
 */
#include "src/tensor/bfloat16.h"

#include "tests/device_numbers.h"

/* --- rounding -------------------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The nearer of the two neighbours; of equally near ones the even one. */
static uint16_t nearest(uint32_t bits)
{
    uint16_t below = (uint16_t)(bits >> 16), above = (uint16_t)(below + 1);
    uint32_t rest = bits & 0xffffu;
    if (rest != 0x8000u) return rest < 0x8000u ? below : above;
    return below % 2 == 0 ? below : above;
}

static void rounding_goes_to_the_nearest_even(void **state)
{
    (void)state;
    const uint32_t rests[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    for (uint32_t upper = 0; upper < 0x10000u; upper++)
        for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
            uint32_t bits = upper << 16 | rests[i];
            uint16_t found = bfloat16_of(float_of_bits(bits));
            if (isnan(float_of_bits(bits)))
                assert_true(isnan(float_of_bfloat16(found)));
            else /* past the largest number comes infinity */
                assert_int_equal(found, nearest(bits));
        }
    assert_true(float_of_bfloat16(bfloat16_of(1.0f)) == 1.0f);
    assert_true(isinf(float_of_bfloat16(bfloat16_of(FLT_MAX))));
}

/* --- tensors --------------------------------------------------------------------------------- */

/* Numbers of x in bfloat16; freed with free(). */
static Tensor rounded(Tensor x)
{
    int64_t count = tensor_count(x);
    uint16_t *halves = malloc((size_t)(count + 1) * sizeof *halves);
    assert_non_null(halves);
    for (int64_t i = 0; i < count; i++) halves[i] = bfloat16_of((float)tensor_reals(x)[i]);
    x.data = halves;
    x.type = NUMBER_BFLOAT16;
    return x;
}

/* x becomes the numbers of y. */
static void take_numbers(Tensor x, Tensor y)
{
    const uint16_t *halves = y.data;
    for (int64_t i = 0; i < tensor_count(x); i++) tensor_reals(x)[i] = float_of_bfloat16(halves[i]);
}

/* A tensor twice: `half` has the numbers of `whole` in bfloat16, and `whole` no others. */
typedef struct Twice {
    Tensor whole, half;
} Twice;

static Twice twice(int64_t a, int64_t b, int64_t c, uint64_t seed)
{
    Tensor whole = numbers_3d(a, b, c, seed);
    Twice x = {whole, rounded(whole)};
    take_numbers(x.whole, x.half);
    return x;
}

static void twice_free(Twice x)
{
    release(x.whole);
    free(x.half.data);
}

/* half is whole, rounded once. */
static void assert_rounded(const char *what, Twice x)
{
    Tensor expected = rounded(x.whole);
    if (memcmp(expected.data, x.half.data, (size_t)tensor_count(x.whole) * 2) != 0)
        fail_msg("%s: not the float32 result, rounded", what);
    free(expected.data);
}

/* --- operations ------------------------------------------------------------------------------ */

#define CALL(operation, ...) device->op->operation(device, __VA_ARGS__)

static void check_sizes(Device *device, int64_t rows, int64_t n)
{
    Twice x = twice(2, rows, n, 1), y = twice(2, rows, n, 2), wide = twice(2, rows, 2 * n, 3);
    Tensor bias[2] = {numbers(1, n, 4), numbers(1, n, 4)}, scale = numbers(1, n, 5);
    Tensor mean = numbers(2, rows, 6), rstd = numbers(2, rows, 7),
           residual = numbers(2 * rows, n, 8);
    bool *mask = malloc((size_t)(2 * rows));
    for (int64_t i = 0; i < 2 * rows; i++) mask[i] = i % 3 != 0;
    DropoutPlace place = {.channels = n};

    CALL(add, y.whole, x.whole), CALL(add, y.half, x.half);
    assert_rounded("add", y);
    take_numbers(y.whole, y.half);
    CALL(scale, y.whole, 0.3), CALL(scale, y.half, 0.3);
    assert_rounded("scale", y);
    take_numbers(y.whole, y.half);
    CALL(dropout, y.whole, random_stream(1, "drop"), place, 0.3);
    CALL(dropout, y.half, random_stream(1, "drop"), place, 0.3);
    assert_rounded("dropout", y);
    take_numbers(y.whole, y.half);
    CALL(relu_backward, y.whole, x.whole), CALL(relu_backward, y.half, x.half);
    assert_rounded("relu backward", y);
    CALL(gelu_forward, y.whole, x.whole), CALL(gelu_forward, y.half, x.half);
    assert_rounded("gelu", y);
    take_numbers(y.whole, y.half);
    CALL(gelu_backward, y.whole, x.whole), CALL(gelu_backward, y.half, x.half);
    assert_rounded("gelu backward", y);
    take_numbers(y.whole, y.half);
    CALL(pair_with_earlier, wide.whole, x.whole, 1), CALL(pair_with_earlier, wide.half, x.half, 1);
    assert_rounded("pairs", wide);
    CALL(pair_with_earlier_backward, y.whole, wide.whole, 1);
    CALL(pair_with_earlier_backward, y.half, wide.half, 1);
    assert_rounded("pairs backward", y);
    CALL(layer_norm_forward, y.whole, mean, rstd, residual, scale, bias[0]);
    CALL(layer_norm_forward, y.half, mean, rstd, residual, scale, bias[0]);
    assert_rounded("layer norm", y);
    take_numbers(y.whole, y.half);

    CALL(add_column_sums, bias[0], x.whole), CALL(add_column_sums, bias[1], x.half);
    assert_same_bits(bias[0], bias[1]);
    assert_true(CALL(sum, x.whole) == CALL(sum, x.half));
    /* The gradient goes into one of the operands. */
    assert_true(CALL(squared_error, y.whole, y.whole, x.whole, mask) ==
                CALL(squared_error, y.half, y.half, x.half, mask));
    assert_rounded("squared error's gradient", y);
    CALL(fill, y.whole, 0.7), CALL(fill, y.half, 0.7);
    assert_rounded("fill", y);

    free(mask);
    release(bias[0]), release(bias[1]), release(scale), release(mean), release(rstd);
    release(residual), twice_free(x), twice_free(y), twice_free(wide);
}

static void check_compression(Device *device)
{
    const int32_t chosen[] = {0, 3, 4, 5, 1, 2, 3, 8};
    Twice x = twice(2, 12, 7, 1), pooled = twice(2, 4, 7, 2);
    CALL(pool_mean, pooled.whole, x.whole), CALL(pool_mean, pooled.half, x.half);
    assert_rounded("mean", pooled);
    CALL(pool_max, pooled.whole, x.whole), CALL(pool_max, pooled.half, x.half);
    assert_rounded("max", pooled);
    CALL(select_rows, pooled.whole, x.whole, chosen),
        CALL(select_rows, pooled.half, x.half, chosen);
    assert_rounded("chosen rows", pooled);
    twice_free(x), twice_free(pooled);
}

static void check_attention(Device *device)
{
    enum { ROWS = 2, LENGTH = 9, SLOTS = 5, HEADS = 2, SIZE = 3, WIDTH = HEADS * SIZE };
    Twice q = twice(ROWS, LENGTH, WIDTH, 1), k = twice(ROWS, SLOTS, WIDTH, 2);
    Twice v = twice(ROWS, SLOTS, WIDTH, 3), r = twice(LENGTH + SLOTS, WIDTH, 1, 4);
    Twice o = twice(ROWS, LENGTH, WIDTH, 5), dout = twice(ROWS, LENGTH, WIDTH, 6);
    Twice dq = twice(ROWS, LENGTH, WIDTH, 7), dk = twice(ROWS, SLOTS, WIDTH, 8);
    Twice dv = twice(ROWS, SLOTS, WIDTH, 9);
    Tensor bias = numbers(HEADS, SIZE, 10), lse[2], dr[2], usage[2];
    AttentionQueries queries[2];
    AttentionSource source[2];
    for (int i = 0; i < 2; i++) {
        lse[i] = numbers(ROWS, HEADS * LENGTH, 11);
        dr[i] = numbers(LENGTH + SLOTS, WIDTH, 12);
        usage[i] = numbers(ROWS, SLOTS, 13);
        bool half = i == 1;
        queries[i] = (AttentionQueries){.q = half ? q.half : q.whole,
                                        .heads = HEADS,
                                        .scale = 0.6,
                                        .dq = half ? dq.half : dq.whole};
        source[i] = (AttentionSource){.k = half ? k.half : k.whole,
                                      .v = half ? v.half : v.whole,
                                      .r = half ? r.half : r.whole,
                                      .position_bias = bias,
                                      .row_offset = SLOTS,
                                      .row_stride = 1,
                                      .dk = half ? dk.half : dk.whole,
                                      .dv = half ? dv.half : dv.whole,
                                      .dr = dr[i]};
        assert_int_equal(device->op->reserve_attention(device, &queries[i], &source[i], 1), PAL_OK);
        CALL(attention_forward, half ? o.half : o.whole, lse[i], &queries[i], &source[i], 1);
        CALL(attention_usage, usage[i], &queries[i], &source[i], lse[i]);
    }
    assert_rounded("o", o);
    take_numbers(o.whole, o.half); /* backward reads o as it was stored */
    CALL(attention_backward, &queries[0], &source[0], 1, o.whole, lse[0], dout.whole);
    CALL(attention_backward, &queries[1], &source[1], 1, o.half, lse[1], dout.half);
    assert_rounded("dq", dq), assert_rounded("dk", dk), assert_rounded("dv", dv);
    assert_same_bits(lse[0], lse[1]), assert_same_bits(dr[0], dr[1]);
    assert_same_bits(usage[0], usage[1]);
    Twice all[] = {q, k, v, r, o, dout, dq, dk, dv};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) twice_free(all[i]);
    for (int i = 0; i < 2; i++) release(lse[i]), release(dr[i]), release(usage[i]);
    release(bias);
}

static void check_operations(Device *device)
{
    check_sizes(device, 0, 3);
    check_sizes(device, 1, 1);
    check_sizes(device, 5, 33);
    check_sizes(device, 100, 257);
    check_compression(device);
    check_attention(device);
}

static void operations_round_once(void **state)
{
    (void)state;
    on_all_devices(check_operations);
}

/* --- products -------------------------------------------------------------------------------- */

static double element(Tensor x, bool transposed, int64_t i, int64_t j)
{
    return (double)tensor_reals(x)[transposed ? j * x.dims[2] + i : i * x.dims[2] + j];
}

/* By instructions for bfloat16, or without: the environment decides (DNNL_MAX_CPU_ISA). */
static void check_product(Device *device, int64_t m, int64_t n, int64_t k, int which)
{
    MatmulOptions options = {.transpose_a = which & 1,
                             .transpose_b = which & 2,
                             .accumulate = (which & 12) == 4,
                             .relu = (which & 12) == 8};
    bool to_half = which & 16, with_bias = which & 32;
    Twice a = options.transpose_a ? twice(1, k, m, 1) : twice(1, m, k, 1);
    Twice b = options.transpose_b ? twice(1, n, k, 2) : twice(1, k, n, 2);
    Twice c = twice(1, m, n, 3), bias = twice(1, 1, n, 4);
    Tensor before = copy_of(c.whole), result = to_half ? c.half : c.whole;
    if (with_bias) options.bias = to_half ? bias.half : bias.whole;
    device->op->matmul(device, result, a.half, b.half, options);
    if (to_half) take_numbers(c.whole, c.half);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = options.accumulate ? (double)tensor_reals(before)[i * n + j] : 0.0;
            for (int64_t p = 0; p < k; p++)
                sum += element(a.whole, options.transpose_a, i, p) *
                       element(b.whole, options.transpose_b, p, j);
            if (with_bias) sum += (double)tensor_reals(bias.whole)[j];
            if (options.relu && sum < 0) sum = 0;
            double last_place = to_half ? 0x1p-8 * fabs(sum) : 0.0;
            assert_near(tensor_reals(c.whole)[i * n + j], sum,
                        rounding * (8.0 + (double)k / 2.0) + last_place);
        }
    release(before), twice_free(a), twice_free(b), twice_free(c), twice_free(bias);
}

static void check_products(Device *device)
{
    for (int which = 0; which < 64; which++) {
        if ((which & 12) == 12) continue;
        check_product(device, 1, 1, 1, which);
        check_product(device, 5, 7, 33, which);
        check_product(device, 31, 130, 64, which);
    }
}

static void products_sum_in_float32(void **state)
{
    (void)state;
    on_all_devices(check_products);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_goes_to_the_nearest_even),
        cmocka_unit_test(operations_round_once),
        cmocka_unit_test(products_sum_in_float32),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
