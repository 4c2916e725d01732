/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation of the CUDA device but attention against the CPU device: the same numbers go to
 * both, through odd and even sizes, all options and both number types, and results are compared. The seed is printed;
 * PALIMPSEST_TEST_SEED sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/device_pairs.h"

/* --- products -------------------------------------------------------------------------------- */

static void check_product(int64_t m, int64_t n, int64_t k, MatmulOptions options, bool with_bias)
{
    /* What bfloat16 is multiplied to is of either type, the bias of the same. */
    NumberType type = draw(2) == 0 ? NUMBER_FLOAT32 : pairs_type;
    Pair c = pair_of_shape(type, tensor_2d(NULL, m, n));
    Pair bias = pair_of_shape(type, tensor_1d(NULL, n));
    Pair a = options.transpose_a ? pair_2d(k, m) : pair_2d(m, k);
    Pair b = options.transpose_b ? pair_2d(n, k) : pair_2d(k, n);
    MatmulOptions on_cpu = options, on_cuda = options;
    if (with_bias) on_cpu.bias = bias.cpu;
    if (with_bias) on_cuda.bias = bias.cuda;
    ON_BOTH(matmul, (cpu, c.cpu, a.cpu, b.cpu, on_cpu), (cuda, c.cuda, a.cuda, b.cuda, on_cuda));
    assert_close("matmul", c, tolerance);
    pair_free(a);
    pair_free(b);
    pair_free(c);
    pair_free(bias);
}

static void products(void **state)
{
    (void)state;
    for (int flags = 0; flags < 32; flags++) {
        MatmulOptions options = {.transpose_a = (flags & 1) != 0,
                                 .transpose_b = (flags & 2) != 0,
                                 .accumulate = (flags & 4) != 0,
                                 .relu = (flags & 8) != 0};
        if (options.accumulate && options.relu) continue;
        for (int i = 0; i < 4; i++)
            check_product(small_size() + (int64_t)draw(60), small_size(), any_size(), options,
                          (flags & 16) != 0);
        check_product(3, 5, 0, options, (flags & 16) != 0);
        check_product(0, 5, 3, options, (flags & 16) != 0);
    }
}

/* Tensors that begin at any number, and a second product of the same shape with a bias elsewhere. */
static void products_of_parts(void **state)
{
    (void)state;
    enum { M = 16, N = 32, K = 8 };
    for (int i = 0; i < 12; i++) {
        Pair c = pair_1d(M * N + 8), a = pair_1d(M * K + 8), b = pair_1d(K * N + 8);
        Pair bias = pair_1d(N + 8);
        for (int place = 0; place < 2; place++) {
            int64_t to[4];
            for (int t = 0; t < 4; t++) to[t] = place == i % 2 ? 0 : (int64_t)draw(9);
            ON_BOTH(matmul,
                    (cpu, tensor_part_2d(c.cpu, to[0], M, N), tensor_part_2d(a.cpu, to[1], M, K),
                     tensor_part_2d(b.cpu, to[2], K, N),
                     (MatmulOptions){.bias = tensor_part_1d(bias.cpu, to[3], N)}),
                    (cuda, tensor_part_2d(c.cuda, to[0], M, N), tensor_part_2d(a.cuda, to[1], M, K),
                     tensor_part_2d(b.cuda, to[2], K, N),
                     (MatmulOptions){.bias = tensor_part_1d(bias.cuda, to[3], N)}));
            assert_close("matmul of parts", c, tolerance);
        }
        pair_free(a);
        pair_free(b);
        pair_free(c);
        pair_free(bias);
    }
}

/* --- layers ---------------------------------------------------------------------------------- */

static void layer_norm_of_parts(void **state)
{
    (void)state;
    enum { ROWS = 3, N = 64 };
    Pair y = pair_1d(ROWS * N + 4), x = real_pair_1d(ROWS * N + 4), mean = real_pair_1d(ROWS);
    Pair scale = real_pair_1d(N + 4), shift = real_pair_1d(N + 4), rstd = real_pair_1d(ROWS);
    for (int unaligned = 0; unaligned < 4; unaligned++) { /* one of them */
        int64_t at[4] = {0};
        at[unaligned] = 1;
        ON_BOTH(layer_norm_forward,
                (cpu, tensor_part_2d(y.cpu, at[0], ROWS, N), mean.cpu, rstd.cpu,
                 tensor_part_2d(x.cpu, at[1], ROWS, N), tensor_part_1d(scale.cpu, at[2], N),
                 tensor_part_1d(shift.cpu, at[3], N)),
                (cuda, tensor_part_2d(y.cuda, at[0], ROWS, N), mean.cuda, rstd.cuda,
                 tensor_part_2d(x.cuda, at[1], ROWS, N), tensor_part_1d(scale.cuda, at[2], N),
                 tensor_part_1d(shift.cuda, at[3], N)));
        assert_close("layer norm of parts", y, tolerance);
    }
    Pair all[] = {x, y, scale, shift, mean, rstd};
    for (size_t p = 0; p < sizeof all / sizeof *all; p++) pair_free(all[p]);
}

static void layer_norm(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        int64_t rows = any_size(), n = sizes[i];
        Pair y = pair_2d(rows, n), x = real_pair_2d(rows, n), mean = real_pair_1d(rows);
        Pair scale = real_pair_1d(n), shift = real_pair_1d(n), rstd = real_pair_1d(rows);
        Pair dx = real_pair_2d(rows, n), dscale = real_pair_1d(n), dshift = real_pair_1d(n);
        Pair dy = real_pair_2d(rows, n);
        ON_BOTH(layer_norm_forward, (cpu, y.cpu, mean.cpu, rstd.cpu, x.cpu, scale.cpu, shift.cpu),
                (cuda, y.cuda, mean.cuda, rstd.cuda, x.cuda, scale.cuda, shift.cuda));
        assert_close("layer norm y", y, tolerance);
        assert_close("layer norm mean", mean, tolerance);
        assert_close("layer norm rstd", rstd, tolerance);
        ON_BOTH(layer_norm_backward,
                (cpu, dx.cpu, dscale.cpu, dshift.cpu, mean.cpu, rstd.cpu, dy.cpu, x.cpu, scale.cpu),
                (cuda, dx.cuda, dscale.cuda, dshift.cuda, mean.cuda, rstd.cuda, dy.cuda, x.cuda,
                 scale.cuda));
        /* A row of one number has rstd = 1 / sqrt(epsilon): rounding shows there times 300. */
        assert_close("layer norm dx", dx, n == 1 ? 1e-3 : 3 * tolerance);
        assert_close("layer norm dscale", dscale, 3 * tolerance);
        assert_close("layer norm dshift", dshift, 3 * tolerance);
        Pair all[] = {x, y, scale, shift, mean, rstd, dx, dscale, dshift, dy};
        for (size_t p = 0; p < sizeof all / sizeof *all; p++) pair_free(all[p]);
    }
}

static void embedding(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        int64_t rows = any_size(), width = small_size(), tokens_of_slice = 1 + (int64_t)draw(40);
        int64_t first = (int64_t)draw(5);
        int32_t *tokens = malloc((size_t)rows * sizeof *tokens);
        for (int64_t r = 0; r < rows; r++) /* some in other slices, one very often */
            tokens[r] = draw(3) == 0 ? 6 : (int32_t)draw((uint64_t)tokens_of_slice + 10);
        Pair table = pair_2d(tokens_of_slice, width), y = pair_2d(rows, width);
        ON_BOTH(embedding_forward, (cpu, y.cpu, table.cpu, tokens, first, 3.5),
                (cuda, y.cuda, table.cuda, tokens, first, 3.5));
        assert_same("embedding", y);
        ON_BOTH(embedding_backward, (cpu, table.cpu, y.cpu, tokens, first, 3.5),
                (cuda, table.cuda, y.cuda, tokens, first, 3.5));
        assert_close("embedding backward", table, tolerance);
        free(tokens);
        pair_free(table);
        pair_free(y);
    }
}

static int32_t *draw_targets(int64_t rows, int64_t vocabulary)
{
    int32_t *targets = malloc((size_t)rows * sizeof *targets);
    for (int64_t r = 0; r < rows; r++)
        targets[r] = draw(4) == 0 ? -1 : (int32_t)draw((uint64_t)vocabulary);
    return targets;
}

static void cross_entropy(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * NUM_SIZES; i++) {
        int64_t rows = small_size(), n = sizes[i / 2];
        int32_t *targets = draw_targets(rows, n);
        Pair logits = pair_2d(rows, n), nats = pair_1d(rows);
        ON_BOTH(scale, (cpu, logits.cpu, 20.0), (cuda, logits.cuda, 20.0));
        ON_BOTH(cross_entropy, (cpu, nats.cpu, logits.cpu, targets, i % 2 == 0),
                (cuda, nats.cuda, logits.cuda, targets, i % 2 == 0));
        assert_close("cross entropy nats", nats, tolerance);
        assert_close("cross entropy gradient", logits, tolerance);
        free(targets);
        pair_free(logits);
        pair_free(nats);
    }
}

static void set_number(Pair x, int64_t at, Real value)
{
    Pair number = pair_part(x, at, 1);
    ON_BOTH(fill, (cpu, number.cpu, (double)value), (cuda, number.cuda, (double)value));
}

/* A number that is none is seen wherever it stands; one that is not possible costs nothing. */
static void extremes(void **state)
{
    (void)state;
    enum { N = 100, ROWS = 5 };
    const int32_t targets[ROWS] = {0, 1, 2, 3, 4};
    for (int64_t at = 4; at < N; at += 19) {
        Pair logits = pair_2d(ROWS, N), nats = pair_1d(ROWS);
        set_number(logits, at, (Real)NAN);
        set_number(logits, N + at, (Real)-INFINITY);
        set_number(logits, 2 * N + at, (Real)1000);
        for (int64_t i = 0; i < N; i++) set_number(logits, 3 * N + i, (Real)(i == 3 ? -9 : -999));
        Pair none = pair_part(logits, 4 * N, N), part = pair_3d(1, ROWS, 3);
        ON_BOTH(fill, (cpu, none.cpu, -INFINITY), (cuda, none.cuda, -INFINITY));
        ON_BOTH(cross_entropy_slice, (cpu, part.cpu, logits.cpu, targets, 0),
                (cuda, part.cuda, logits.cuda, targets, 0));
        assert_close("slice of extremes", part, tolerance);
        for (int gradient = 0; gradient < 2; gradient++) {
            ON_BOTH(cross_entropy, (cpu, nats.cpu, logits.cpu, targets, gradient != 0),
                    (cuda, nats.cuda, logits.cuda, targets, gradient != 0));
            assert_close("nats of extremes", nats, tolerance);
        }
        Real *found = downloaded(cuda, nats.cuda);
        assert_true(isnan(found[0]) && isfinite(found[1]) && isfinite(found[2]) && found[3] == 0);
        free(found);
        Pair pooled = pair_3d(1, 1, N), pair = pair_3d(1, 2, N);
        set_number(pair, at, (Real)NAN);
        set_number(pair, N + at - 1, (Real)NAN);
        ON_BOTH(pool_max, (cpu, pooled.cpu, pair.cpu), (cuda, pooled.cuda, pair.cuda));
        assert_same("max of extremes", pooled);
        bool mask[2] = {true, false}; /* what is masked may be anything */
        Pair y = pair_2d(2, N), target = pair_2d(2, N), dy = pair_2d(2, N);
        set_number(y, N + at, (Real)NAN);
        assert_number("masked error",
                      cuda->op->squared_error(cuda, dy.cuda, y.cuda, target.cuda, mask),
                      cpu->op->squared_error(cpu, dy.cpu, y.cpu, target.cpu, mask));
        assert_close("gradient of a masked error", dy, tolerance);
        Pair all[] = {logits, nats, pooled, pair, y, target, dy, part};
        for (size_t p = 0; p < sizeof all / sizeof *all; p++) pair_free(all[p]);
    }
}

static void attention_shows_what_is_no_number(void **state)
{
    (void)state;
    enum { T = 2, S = 3, E = 32 };
    Pair q = pair_3d(1, T, E), k = pair_3d(1, S, E), v = pair_3d(1, S, E), o = pair_3d(1, T, E);
    Pair lse = real_pair_2d(1, T);
    set_number(q, E + 5, (Real)NAN);
    AttentionQueries of_cpu = {.q = q.cpu, .heads = 1, .scale = 0.2}, of_cuda = of_cpu;
    of_cuda.q = q.cuda;
    AttentionSource on_cpu = {.k = k.cpu, .v = v.cpu}, on_cuda = {.k = k.cuda, .v = v.cuda};
    lse.cpu = tensor_part_3d(lse.cpu, 0, 1, 1, T);
    lse.cuda = tensor_part_3d(lse.cuda, 0, 1, 1, T);
    ON_BOTH(attention_forward, (cpu, o.cpu, lse.cpu, &of_cpu, &on_cpu, 1),
            (cuda, o.cuda, lse.cuda, &of_cuda, &on_cuda, 1));
    assert_close("attention with a NaN", o, tolerance);
    assert_close("its logarithms", lse, tolerance);
    Real *found = downloaded(cuda, o.cuda);
    assert_true(isfinite(found[E - 1]) && isnan(found[E]));
    free(found);
    Pair all[] = {q, k, v, o, lse};
    for (size_t p = 0; p < sizeof all / sizeof *all; p++) pair_free(all[p]);
}

static void cross_entropy_in_slices(void **state)
{
    (void)state;
    enum { SLICES = 3 };
    for (int i = 0; i < 6; i++) {
        int64_t rows = small_size(), n = 1 + (int64_t)draw(50), part = 3 * rows;
        int32_t *targets = draw_targets(rows, SLICES * n);
        Pair parts = pair_3d(SLICES, rows, 3), nats = pair_1d(rows), logits[SLICES];
        for (int s = 0; s < SLICES; s++) {
            logits[s] = pair_2d(rows, n);
            Pair of_slice = pair_part(parts, s * part, part);
            ON_BOTH(cross_entropy_slice, (cpu, of_slice.cpu, logits[s].cpu, targets, s * n),
                    (cuda, of_slice.cuda, logits[s].cuda, targets, s * n));
        }
        assert_close("cross entropy of slices", parts, tolerance);
        for (int s = 0; s < SLICES; s++) {
            ON_BOTH(cross_entropy_join,
                    (cpu, nats.cpu, logits[s].cpu, parts.cpu, targets, s * n, true),
                    (cuda, nats.cuda, logits[s].cuda, parts.cuda, targets, s * n, true));
            assert_close("joined nats", nats, tolerance);
            assert_close("joined gradient", logits[s], tolerance);
            pair_free(logits[s]);
        }
        free(targets);
        pair_free(parts);
        pair_free(nats);
    }
}

static void activations(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        Pair x = pair_1d(sizes[i]), y = pair_1d(sizes[i]), dy = pair_1d(sizes[i]);
        ON_BOTH(scale, (cpu, x.cpu, 4.0), (cuda, x.cuda, 4.0));
        ON_BOTH(gelu_forward, (cpu, y.cpu, x.cpu), (cuda, y.cuda, x.cuda));
        assert_close("gelu", y, tolerance);
        ON_BOTH(gelu_backward, (cpu, dy.cpu, x.cpu), (cuda, dy.cuda, x.cuda));
        assert_close("gelu backward", dy, tolerance);
        Pair zeros = pair_part(x, sizes[i] / 2, sizes[i] - sizes[i] / 2); /* relu's results have */
        ON_BOTH(fill, (cpu, zeros.cpu, 0.0), (cuda, zeros.cuda, 0.0));
        ON_BOTH(relu_backward, (cpu, dy.cpu, x.cpu), (cuda, dy.cuda, x.cuda));
        assert_close("relu backward", dy, tolerance);
        pair_free(x);
        pair_free(y);
        pair_free(dy);
    }
}

/* Both devices drop the same numbers. */
static void dropout(void **state)
{
    (void)state;
    for (int i = 0; i < 30; i++) {
        int64_t rows = 1 + (int64_t)draw(3), positions = small_size(), width = small_size();
        DropoutPlace place = {.first_row = (int64_t)draw(100),
                              .first_position = (int64_t)draw(50),
                              .first_channel = (int64_t)draw(9)};
        place.channels = place.first_channel + width + (int64_t)draw(9);
        if (i % 3 == 0)
            place = (DropoutPlace){.first_row = 3, .channels = width}; /* all channels */
        RandomStream stream = random_stream(draw(1000), "dropout");
        double rate = i % 5 == 0 ? 0.0 : 0.1 * (double)(1 + draw(9));
        Pair x = pair_3d(rows, positions, width);
        ON_BOTH(dropout, (cpu, x.cpu, stream, place, rate), (cuda, x.cuda, stream, place, rate));
        assert_same("dropout", x);
        pair_free(x);
    }
}

/* --- elementwise, copies, sums --------------------------------------------------------------- */

static void elementwise(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        Pair x = pair_1d(sizes[i]), y = pair_1d(sizes[i]);
        ON_BOTH(scale, (cpu, x.cpu, 0.37), (cuda, x.cuda, 0.37));
        assert_same("scale", x);
        ON_BOTH(add, (cpu, y.cpu, x.cpu), (cuda, y.cuda, x.cuda));
        assert_same("add", y);
        /* A part that is not aligned. */
        Pair part = pair_part(x, 1, sizes[i] - 1);
        ON_BOTH(fill, (cpu, part.cpu, 2.5), (cuda, part.cuda, 2.5));
        assert_same("fill", x);
        pair_free(x);
        pair_free(y);
    }
}

static void copies(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        int64_t blocks = 1 + (int64_t)draw(5), length = any_size(), gap = (int64_t)draw(6);
        /* Also from one number type to the other, both ways. */
        NumberType types[] = {draw(2) == 0 ? NUMBER_FLOAT32 : pairs_type,
                              draw(2) == 0 ? NUMBER_FLOAT32 : pairs_type};
        Pair from = pair_of_shape(types[0], tensor_1d(NULL, blocks * (length + gap)));
        Pair to = pair_of_shape(types[1], tensor_1d(NULL, blocks * (length + 2 * gap)));
        ON_BOTH(copy_blocks,
                (cpu, to.cpu, length + 2 * gap, from.cpu, length + gap, blocks, length),
                (cuda, to.cuda, length + 2 * gap, from.cuda, length + gap, blocks, length));
        assert_same("copied blocks", to);
        /* Onto itself, both ways; each block within its own range. */
        int64_t step = 1 + (int64_t)draw(3), moved = length - step;
        if (moved > 0) {
            bool up = i % 2 == 0;
            Pair a = pair_part(to, up ? step : 0, 1), b = pair_part(to, up ? 0 : step, 1);
            ON_BOTH(copy_blocks,
                    (cpu, a.cpu, length + 2 * gap, b.cpu, length + 2 * gap, blocks, moved),
                    (cuda, a.cuda, length + 2 * gap, b.cuda, length + 2 * gap, blocks, moved));
            assert_same("moved blocks", to);
        }
        pair_free(from);
        pair_free(to);
    }
}

static void sums(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        int64_t rows = sizes[i], n = small_size();
        Pair x = pair_2d(rows, n), y = pair_2d(rows, n), dy = pair_2d(rows, n);
        Pair z = real_pair_2d(rows, n), bias = real_pair_1d(n);
        bool *mask = malloc((size_t)rows);
        for (int64_t r = 0; r < rows; r++) mask[r] = draw(3) > 0;
        assert_number("sum", cuda->op->sum(cuda, x.cuda), cpu->op->sum(cpu, x.cpu));
        assert_number("sum of squares", cuda->op->sum_of_squares(cuda, z.cuda),
                      cpu->op->sum_of_squares(cpu, z.cpu));
        ON_BOTH(add_column_sums, (cpu, bias.cpu, x.cpu), (cuda, bias.cuda, x.cuda));
        /* Sums on the way are of a size of the root of their numbers, also where they end near 0. */
        assert_close("column sums", bias, tolerance * sqrt((double)rows));
        assert_number("squared error without gradient",
                      cuda->op->squared_error(cuda, tensor_none, y.cuda, x.cuda, mask),
                      cpu->op->squared_error(cpu, tensor_none, y.cpu, x.cpu, mask));
        Tensor cpu_gradients[] = {dy.cpu, y.cpu}, cuda_gradients[] = {dy.cuda, y.cuda};
        for (int g = 0; g < 2; g++)
            assert_number("squared error",
                          cuda->op->squared_error(cuda, cuda_gradients[g], y.cuda, x.cuda, mask),
                          cpu->op->squared_error(cpu, cpu_gradients[g], y.cpu, x.cpu, mask));
        assert_close("gradient of squared error", dy, tolerance);
        assert_close("gradient in place", y, tolerance);
        free(mask);
        pair_free(x);
        pair_free(y);
        pair_free(dy);
        pair_free(z);
        pair_free(bias);
    }
    assert_true(cuda->op->sum(cuda, tensor_1d(NULL, 0)) == 0.0);
}

/* --- compression and optimiser --------------------------------------------------------------- */

static void pooling(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int64_t rows = 1 + (int64_t)draw(3), groups = small_size(), width = small_size();
        int64_t rate = 1 + (int64_t)draw(5);
        Pair x = pair_3d(rows, groups * rate, width), y = pair_3d(rows, groups, width);
        ON_BOTH(pool_mean, (cpu, y.cpu, x.cpu), (cuda, y.cuda, x.cuda));
        assert_close("mean", y, tolerance);
        ON_BOTH(pool_max, (cpu, y.cpu, x.cpu), (cuda, y.cuda, x.cuda));
        assert_same("max", y);
        pair_free(x);
        pair_free(y);
    }
}

static void pairs_with_earlier(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int64_t rows = 1 + (int64_t)draw(3), length = small_size(), width = small_size();
        int distance = (int)draw((uint64_t)length + 3);
        Pair x = pair_3d(rows, length, width), y = pair_3d(rows, length, 2 * width);
        ON_BOTH(pair_with_earlier, (cpu, y.cpu, x.cpu, distance), (cuda, y.cuda, x.cuda, distance));
        assert_same("pairs", y);
        ON_BOTH(pair_with_earlier_backward, (cpu, x.cpu, y.cpu, distance),
                (cuda, x.cuda, y.cuda, distance));
        assert_close("pairs backward", x, tolerance);
        pair_free(x);
        pair_free(y);
    }
}

static void chosen_rows(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        int64_t rows = 1 + (int64_t)draw(3), length = small_size(), width = small_size();
        int64_t made = 1 + (int64_t)draw((uint64_t)length);
        int32_t *chosen = malloc((size_t)(rows * made) * sizeof *chosen);
        for (int64_t c = 0; c < rows * made; c++) chosen[c] = (int32_t)draw((uint64_t)length);
        Pair x = pair_3d(rows, length, width), y = pair_3d(rows, made, width);
        ON_BOTH(select_rows, (cpu, y.cpu, x.cpu, chosen), (cuda, y.cuda, x.cuda, chosen));
        assert_same("chosen rows", y);
        free(chosen);
        pair_free(x);
        pair_free(y);
    }
}

static void adam(void **state)
{
    (void)state;
    for (int i = 0; i < NUM_SIZES; i++) {
        Pair w = pair_1d(sizes[i]), m = pair_1d(sizes[i]), v = pair_1d(sizes[i]);
        Pair g = pair_1d(sizes[i]);
        ON_BOTH(fill, (cpu, v.cpu, 0.01), (cuda, v.cuda, 0.01));
        for (int update = 1; update < 4; update++) {
            AdamOptions options = {.learning_rate = 1e-2,
                                   .beta1 = 0.9,
                                   .beta2 = 0.999,
                                   .epsilon = 1e-8,
                                   .gradient_scale = 0.5,
                                   .weight_decay = i % 2 * 0.1,
                                   .update = update};
            ON_BOTH(adam, (cpu, w.cpu, m.cpu, v.cpu, g.cpu, options),
                    (cuda, w.cuda, m.cuda, v.cuda, g.cuda, options));
        }
        assert_close("adam w", w, tolerance);
        assert_close("adam m", m, tolerance);
        assert_close("adam v", v, tolerance);
        pair_free(w);
        pair_free(m);
        pair_free(v);
        pair_free(g);
    }
}

/* --- storage --------------------------------------------------------------------------------- */

static void copies_beside_the_operations(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    size_t bytes = COUNT * sizeof(Real);
    Tensor x = tensor_1d(cuda->op->allocate(cuda, bytes), COUNT);
    Real *first = cuda->op->allocate_host(cuda, bytes),
         *second = cuda->op->allocate_host(cuda, bytes);
    assert_true(first[COUNT - 1] == 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) first[i] = (Real)(round + i);
        cuda->op->upload_begin(cuda, x, first);
        cuda->op->scale(cuda, x, 2.0);
        cuda->op->download_begin(cuda, second, x);
        int64_t mark = cuda->op->mark(cuda);
        cuda->op->wait(cuda, mark);
        for (int i = 0; i < COUNT; i++) assert_true(second[i] == 2 * (Real)(round + i));
    }
    for (int i = 0; i < COUNT; i++) first[i] = 3;
    cuda->op->upload_begin(cuda, x, first);
    assert_true(cuda->op->sum(cuda, x) == 3 * COUNT); /* behind the upload */
    cuda->op->scale(cuda, x, 2.0);
    cuda->op->download_begin(cuda, second, x);
    cuda->op->fill(cuda, x, 1.0); /* mark: also behind the operations */
    cuda->op->wait(cuda, cuda->op->mark(cuda));
    for (int i = 0; i < COUNT; i++) assert_true(second[i] == 6);
    for (int i = 0; i < 3 * PAL_MARKS; i++) cuda->op->wait(cuda, cuda->op->mark(cuda));
    cuda->op->synchronize(cuda);
    cuda->op->release_host(cuda, first);
    cuda->op->release_host(cuda, second);
    cuda->op->release(cuda, tensor_reals(x));
}

static void memory_that_is_not_there_is_not_given(void **state)
{
    (void)state;
    assert_null(cuda->op->allocate(cuda, (size_t)1 << 50));
    Real *zeros = calloc(300, sizeof *zeros), *found = malloc(300 * sizeof *found);
    Tensor x = tensor_1d(cuda->op->allocate(cuda, 300 * sizeof(Real)), 300);
    assert_int_equal((uintptr_t)tensor_reals(x) % 64, 0);
    cuda->op->download(cuda, found, x);
    assert_memory_equal(found, zeros, 300 * sizeof(Real));
    cuda->op->release(cuda, tensor_reals(x));
    free(zeros);
    free(found);
}

/* Arrays of the host that are changed right after the call, more of them than are kept; then one that
 * is larger than any before, behind others of the same operation. */
static void arrays_of_the_host_may_change(void **state)
{
    (void)state;
    enum { CALLS = 12, ROWS = 40000, TOKENS = 50, MANY = 90000 };
    Device *usual = cuda;
    assert_int_equal(device_create_cuda(&cuda, 0), PAL_OK);
    Pair table = real_pair_2d(TOKENS, 1), y[CALLS], many = real_pair_2d(MANY, 1);
    int32_t *tokens = malloc(MANY * sizeof *tokens);
    for (int c = 0; c < CALLS; c++) y[c] = real_pair_2d(ROWS, 1);
    for (int c = 0; c < CALLS; c++) {
        for (int i = 0; i < ROWS; i++) tokens[i] = (int32_t)draw(TOKENS);
        ON_BOTH(embedding_forward, (cpu, y[c].cpu, table.cpu, tokens, 0, 1.0),
                (cuda, y[c].cuda, table.cuda, tokens, 0, 1.0));
    }
    memset(tokens, 0, ROWS * sizeof *tokens);
    for (int c = 0; c < CALLS; c++) assert_same("rows of changed tokens", y[c]);
    for (int i = 0; i < MANY; i++) tokens[i] = (int32_t)draw(TOKENS);
    ON_BOTH(embedding_backward, (cpu, table.cpu, many.cpu, tokens, 0, 0.01),
            (cuda, table.cuda, many.cuda, tokens, 0, 0.01));
    assert_close("gradient of many tokens", table, 10 * tolerance);
    for (int c = 0; c < CALLS; c++) pair_free(y[c]);
    pair_free(table);
    pair_free(many);
    free(tokens);
    device_destroy(&cuda);
    cuda = usual;
}

/* Tokens that are all different, and columns as many as there may be. */
static void operations_stay_within_what_was_reserved(void **state)
{
    (void)state;
    enum { ROWS = 300, WIDTH = 4000, COLUMNS = 9000 };
    Device *usual = cuda;
    assert_int_equal(device_create_cuda(&cuda, 0), PAL_OK);
    OperationSizes most = {.rows = ROWS, .width = WIDTH, .columns = COLUMNS};
    assert_int_equal(cuda->op->reserve(cuda, most), PAL_OK);
    size_t reserved = cuda->scratch_bytes;

    int32_t tokens[ROWS];
    for (int i = 0; i < ROWS; i++) tokens[i] = i;
    Pair table = real_pair_2d(ROWS, WIDTH), dy = real_pair_2d(ROWS, WIDTH);
    Pair wide = pair_of_shape(NUMBER_BFLOAT16, tensor_2d(NULL, ROWS, COLUMNS));
    Pair bias = real_pair_1d(COLUMNS), of_width[4];
    for (int i = 0; i < 4; i++) of_width[i] = real_pair_1d(i < 2 ? WIDTH : ROWS);
    cuda->op->embedding_backward(cuda, table.cuda, dy.cuda, tokens, 0, 1.0);
    cuda->op->layer_norm_backward(cuda, table.cuda, of_width[0].cuda, of_width[1].cuda,
                                  of_width[2].cuda, of_width[3].cuda, dy.cuda, dy.cuda,
                                  of_width[0].cuda);
    cuda->op->add_column_sums(cuda, bias.cuda, wide.cuda);
    cuda->op->sum(cuda, wide.cuda);
    free(downloaded(cuda, wide.cuda));
    assert_int_equal(cuda->scratch_bytes, reserved);

    Pair all[] = {table, dy, wide, bias, of_width[0], of_width[1], of_width[2], of_width[3]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) pair_free(all[i]);
    device_destroy(&cuda);
    cuda = usual;
}

static int in_bfloat16(void **state)
{
    (void)state;
    pairs_type = NUMBER_BFLOAT16;
    return 0;
}

int main(void)
{
    const char *given = getenv("PALIMPSEST_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("PALIMPSEST_TEST_SEED=%llu\n", (unsigned long long)seed);
    if (device_create_cuda(&cuda, 0) != PAL_OK || device_create_cpu(&cpu, 1) != PAL_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 77;
    }
    printf("%s\n", cuda->description);
    const struct CMUnitTest float32_alone[] = {
        cmocka_unit_test(embedding),
        cmocka_unit_test(cross_entropy),
        cmocka_unit_test(extremes),
        cmocka_unit_test(attention_shows_what_is_no_number),
        cmocka_unit_test(cross_entropy_in_slices),
        cmocka_unit_test(adam),
        cmocka_unit_test(copies_beside_the_operations),
        cmocka_unit_test(memory_that_is_not_there_is_not_given),
        cmocka_unit_test(arrays_of_the_host_may_change),
        cmocka_unit_test(operations_stay_within_what_was_reserved),
    };
    const struct CMUnitTest either_type[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(products_of_parts),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(layer_norm_of_parts),
        cmocka_unit_test(activations),
        cmocka_unit_test(dropout),
        cmocka_unit_test(elementwise),
        cmocka_unit_test(copies),
        cmocka_unit_test(sums),
        cmocka_unit_test(pooling),
        cmocka_unit_test(pairs_with_earlier),
        cmocka_unit_test(chosen_rows),
    };
    int failed = cmocka_run_group_tests_name("float32 alone", float32_alone, NULL, NULL);
    failed += cmocka_run_group_tests_name("float32", either_type, NULL, NULL);
    failed += cmocka_run_group_tests_name("bfloat16", either_type, in_bfloat16, NULL);
    device_destroy(&cuda);
    device_destroy(&cpu);
    return failed;
}
