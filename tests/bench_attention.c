/* SPDX-License-Identifier: Apache-2.0
 *
 * Not a test: how fast attention is, next to a large matrix product measured in the same run.
 *
 *     bench_attention [rows heads head_size window memory compressed threads]
 *
 * "visible" counts the products of visible pairs as the device does; "executed" adds the logits
 * that backward computes again. Both are the best of the repetitions, which alternate with the
 * reference.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <dnnl.h>
#include <omp.h>

#include "src/base/timer.h"
#include "src/tensor/device.h"

enum { REFERENCE = 1024, REPETITIONS = 40 };

static Tensor random_tensor(uint64_t seed, int64_t a, int64_t b, int64_t c)
{
    Tensor x =
        tensor_3d(aligned_alloc(64, (size_t)(a * b * c + 16) / 16 * 16 * sizeof(Real)), a, b, c);
    RandomStream stream = random_stream(seed, "bench");
    for (int64_t i = 0; i < a * b * c; i++)
        tensor_reals(x)[i] = (Real)random_uniform(stream, (uint64_t)i) - (Real)0.5;
    return x;
}

static AttentionSource random_source(uint64_t seed, int rows, int slots, int length, int heads,
                                     int size, bool causal)
{
    int64_t width = (int64_t)heads * size;
    AttentionSource s = {.row_offset = causal ? 0 : slots, .row_stride = 1, .causal = causal};
    s.k = random_tensor(seed, rows, slots, width);
    s.v = random_tensor(seed + 1, rows, slots, width);
    s.r = tensor_as_matrix(random_tensor(seed + 2, 1, s.row_offset + length, width));
    s.position_bias = random_tensor(seed + 3, heads, size, 1);
    s.dk = random_tensor(seed + 4, rows, slots, width);
    s.dv = random_tensor(seed + 5, rows, slots, width);
    s.dr = tensor_as_matrix(random_tensor(seed + 6, 1, s.row_offset + length, width));
    s.dposition_bias = random_tensor(seed + 7, heads, size, 1);
    return s;
}

static double reference_rate(void)
{
    static float *a, *b, *c;
    size_t bytes = sizeof(float) * REFERENCE * REFERENCE;
    if (a == NULL) {
        a = aligned_alloc(64, bytes), b = aligned_alloc(64, bytes), c = aligned_alloc(64, bytes);
        for (int i = 0; i < REFERENCE * REFERENCE; i++) a[i] = b[i] = 1e-3f;
    }
    double begin = timer_seconds();
    dnnl_sgemm('N', 'N', REFERENCE, REFERENCE, REFERENCE, 1, a, REFERENCE, b, REFERENCE, 0, c,
               REFERENCE);
    return 2.0 * REFERENCE * REFERENCE * REFERENCE / (timer_seconds() - begin);
}

int main(int count, char **words)
{
    int n[] = {2, 8, 64, 512, 512, 512, 2}; /* rows heads size window memory compressed threads */
    for (int i = 1; i < count && i <= 7; i++) n[i - 1] = atoi(words[i]);
    int rows = n[0], heads = n[1], size = n[2], length = n[3];
    int64_t width = (int64_t)heads * size;
    omp_set_num_threads(n[6]);

    Device *device = NULL;
    if (device_create_cpu(&device, n[6]) != PAL_OK) return EXIT_FAILURE;
    PhaseTimes times = {0};
    device->times = &times;
    int *counted = malloc((size_t)rows * sizeof(int));
    for (int i = 0; i < rows; i++) counted[i] = length;
    AttentionQueries queries = {.q = random_tensor(1, rows, length, width),
                                .content_bias = random_tensor(2, heads, size, 1),
                                .heads = heads,
                                .scale = 1 / sqrt(size),
                                .counted = counted,
                                .dq = random_tensor(3, rows, length, width),
                                .dcontent_bias = random_tensor(4, heads, size, 1)};
    AttentionSource sources[] = {random_source(20, rows, n[5], length, heads, size, false),
                                 random_source(30, rows, n[4], length, heads, size, false),
                                 random_source(40, rows, length, length, heads, size, true)};
    Tensor o = random_tensor(5, rows, length, width), dout = random_tensor(6, rows, length, width);
    Tensor lse = random_tensor(7, rows, heads, length);

    double best[2] = {1e9, 1e9}, operations[2] = {0}, reference = 0;
    for (int i = 0; i < REPETITIONS; i++) {
        reference = fmax(reference, reference_rate());
        times.operations[times.current] = 0;
        double begin = timer_seconds();
        device->op->attention_forward(device, o, lse, &queries, sources, 3);
        double middle = timer_seconds();
        operations[0] = times.operations[times.current];
        device->op->attention_backward(device, &queries, sources, 3, o, lse, dout);
        double end = timer_seconds();
        operations[1] = times.operations[times.current] - operations[0];
        best[0] = fmin(best[0], middle - begin);
        best[1] = fmin(best[1], end - middle);
    }
    double recomputed = operations[0] * 2 / 3;
    printf("reference   %7.1f GFLOP/s (float, %d^3)\n", reference * 1e-9, REFERENCE);
    printf("forward     %7.1f GFLOP/s visible, ratio %.2f, %.2f ms\n",
           operations[0] / best[0] * 1e-9, operations[0] / best[0] / reference, best[0] * 1e3);
    printf("backward    %7.1f GFLOP/s visible, ratio %.2f; executed %.1f, ratio %.2f, %.2f ms\n",
           operations[1] / best[1] * 1e-9, operations[1] / best[1] / reference,
           (operations[1] + recomputed) / best[1] * 1e-9,
           (operations[1] + recomputed) / best[1] / reference, best[1] * 1e3);
    double all = operations[0] + operations[1] + recomputed;
    printf("both        executed ratio %.2f\n", all / (best[0] + best[1]) / reference);
    device_destroy(&device);
    return EXIT_SUCCESS;
}
