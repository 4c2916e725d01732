/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation of the CUDA device but attention (test_cuda_attention.c) against the CPU device,
 * which plain double-precision loops are compared with elsewhere (test_device_*.c). The seed is
 * printed; PALIMPSEST_TEST_SEED sets it.
 */
#include "tests/twin_devices.h"

#include <time.h>

/* What operations take besides tensors; each looks at its own. */
typedef struct Options {
    MatmulOptions matmul; /* bias: tensor 3 where has_bias */
    bool has_bias, gradient, dy_wanted;
    AdamOptions adam;
    const int32_t *tokens;
    int64_t first_token;
    double factor;
    RandomStream stream;
    DropoutPlace place;
    int distance;
    const bool *mask;
    int into; /* the tensor that gets squared_error's dy */
    int64_t to, to_stride, from, from_stride, blocks, length;
} Options;

#define OPERATION(name, call)                                                     \
    static double name##_on(Device *device, const Tensor *t, const void *options) \
    {                                                                             \
        const Options *o = options;                                               \
        (void)o;                                                                  \
        device->op->name call;                                                    \
        return 0;                                                                 \
    }
OPERATION(relu_backward, (device, t[0], t[1]))
OPERATION(gelu_forward, (device, t[0], t[1]))
OPERATION(gelu_backward, (device, t[0], t[1]))
OPERATION(fill, (device, t[0], o->factor))
OPERATION(scale, (device, t[0], o->factor))
OPERATION(add, (device, t[0], t[1]))
OPERATION(add_column_sums, (device, t[0], t[1]))
OPERATION(dropout, (device, t[0], o->stream, o->place, o->factor))
OPERATION(layer_norm_forward, (device, t[0], t[1], t[2], t[3], t[4], t[5]))
OPERATION(layer_norm_backward, (device, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]))
OPERATION(embedding_forward, (device, t[0], t[1], o->tokens, o->first_token, o->factor))
OPERATION(embedding_backward, (device, t[0], t[1], o->tokens, o->first_token, o->factor))
OPERATION(cross_entropy, (device, t[0], t[1], o->tokens, o->gradient))
OPERATION(cross_entropy_slice, (device, t[0], t[1], o->tokens, o->first_token))
OPERATION(cross_entropy_join, (device, t[0], t[1], t[2], o->tokens, o->first_token, o->gradient))
OPERATION(pool_mean, (device, t[0], t[1]))
OPERATION(pool_max, (device, t[0], t[1]))
OPERATION(pair_with_earlier, (device, t[0], t[1], o->distance))
OPERATION(pair_with_earlier_backward, (device, t[0], t[1], o->distance))
OPERATION(select_rows, (device, t[0], t[1], o->tokens))
OPERATION(adam, (device, t[0], t[1], t[2], t[3], o->adam))
OPERATION(copy_blocks, (device, t[0].data + o->to, o->to_stride, t[1].data + o->from,
                        o->from_stride, o->blocks, o->length))

static double move_blocks_on(Device *device, const Tensor *t, const void *options)
{
    const Tensor both[] = {t[0], t[0]};
    return copy_blocks_on(device, both, options);
}

static double matmul_on(Device *device, const Tensor *t, const void *options)
{
    const Options *o = options;
    MatmulOptions matmul = o->matmul;
    matmul.bias = o->has_bias ? t[3] : tensor_none;
    device->op->matmul(device, t[0], t[1], t[2], matmul);
    return 0;
}

static double sum_on(Device *device, const Tensor *t, const void *options)
{
    (void)options;
    return device->op->sum(device, t[0]);
}

static double sum_of_squares_on(Device *device, const Tensor *t, const void *options)
{
    (void)options;
    return device->op->sum_of_squares(device, t[0]);
}

static double squared_error_on(Device *device, const Tensor *t, const void *options)
{
    const Options *o = options;
    Tensor dy = o->dy_wanted ? t[o->into] : tensor_none;
    return device->op->squared_error(device, dy, t[0], t[1], o->mask);
}

/* --- products -------------------------------------------------------------------------------- */

static void check_product(int64_t m, int64_t n, int64_t k, int kind, bool with_nan)
{
    /* plain, accumulate, bias, relu, bias and relu, accumulate and bias */
    Options o = {.matmul = {.transpose_a = drawn_below(2),
                            .transpose_b = drawn_below(2),
                            .accumulate = kind == 1 || kind == 5,
                            .relu = kind == 3 || kind == 4},
                 .has_bias = kind == 2 || kind >= 4};
    Tensor a = o.matmul.transpose_a ? drawn_2d(k, m) : drawn_2d(m, k);
    Tensor b = o.matmul.transpose_b ? drawn_2d(n, k) : drawn_2d(k, n);
    if (with_nan && m * k > 0) a.data[drawn_below(m * k)] = NAN;
    CHECK("matmul", matmul_on, &o, {drawn_2d(m, n), NEAR_CPU}, {a, COPIED}, {b, COPIED},
          {drawn_2d(1, n), COPIED});
}

static void products(void **state)
{
    (void)state;
    static const int64_t few[] = {0, 1, 3, 32, 33, 129};
    enum { FEW = sizeof few / sizeof *few, KINDS = 6 };
    for (int i = 0; i < FEW; i++)
        for (int j = 0; j < FEW; j++)
            for (int l = 0; l < FEW; l++)
                check_product(few[i], few[j], few[l], (int)drawn_below(KINDS), false);
    for (int i = 0; i < 60; i++)
        check_product(drawn_size(), drawn_size(), drawn_size(), i % KINDS, i >= 48);
}

static void products_are_counted(void **state)
{
    (void)state;
    PhaseTimes times = {0};
    Real *data = cuda->op->allocate(cuda, 64 * sizeof *data);
    cuda->times = &times;
    cuda->op->matmul(cuda, tensor_2d(data, 3, 5), tensor_2d(data + 15, 3, 4),
                     tensor_2d(data + 27, 4, 5), (MatmulOptions){0});
    cuda->times = NULL;
    assert_true(times.operations[times.current] == 2 * 3 * 5 * 4);
    cuda->op->release(cuda, data);
}

/* --- elementwise ----------------------------------------------------------------------------- */

static void check_elementwise(int64_t a, int64_t b)
{
    Options o = {.factor = -0.37};
    double strange = drawn_below(2) ? NAN : INFINITY;
    CHECK("relu_backward", relu_backward_on, &o, {drawn_2d(a, b), EQUAL}, {drawn_2d(a, b), COPIED});
    CHECK("relu_backward", relu_backward_on, &o, {strewn(drawn_2d(a, b), strange), EQUAL},
          {strewn(strewn(drawn_2d(a, b), 0), NAN), COPIED});
    CHECK("gelu_forward", gelu_forward_on, &o, {drawn_2d(a, b), NEAR_CPU},
          {strewn(scaled(drawn_2d(a, b), 12, 0), NAN), COPIED});
    CHECK("gelu_backward", gelu_backward_on, &o, {drawn_2d(a, b), NEAR_CPU},
          {strewn(scaled(drawn_2d(a, b), 12, 0), NAN), COPIED});
    CHECK("fill", fill_on, &o, {drawn_2d(a, b), COPIED});
    CHECK("scale", scale_on, &o, {strewn(drawn_2d(a, b), strange), EQUAL});
    CHECK("add", add_on, &o, {drawn_2d(a, b), EQUAL}, {strewn(drawn_2d(a, b), strange), COPIED});
}

static void elementwise(void **state)
{
    (void)state;
    for_sizes(check_elementwise);
    /* More than the threads of a grid. */
    Options o = {.factor = 3};
    CHECK("scale", scale_on, &o, {drawn_2d(1, 4096 * 256 + 1027), EQUAL});
}

static void check_adam(int64_t a, int64_t b)
{
    Options o = {.adam = {.learning_rate = 1e-2,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .epsilon = 1e-8,
                          .gradient_scale = 0.25,
                          .weight_decay = drawn_below(2) ? 0.1 : 0,
                          .update = drawn_below(2) ? 1 : 1000}};
    CHECK("adam", adam_on, &o, {drawn_2d(a, b), NEAR_CPU}, {drawn_2d(a, b), NEAR_CPU},
          {scaled(drawn_2d(a, b), 0.5, 0.5), NEAR_CPU}, {strewn(drawn_2d(a, b), NAN), COPIED});
}

static void adam(void **state)
{
    (void)state;
    for_sizes(check_adam);
}

/* --- dropout --------------------------------------------------------------------------------- */

static void check_dropout(int64_t positions, int64_t width)
{
    static const double rates[] = {0, 0.1, 0.5, 0.9, 1 - 0x1p-33};
    int64_t by = drawn_below(2) ? 4 : 1, before = by * drawn_below(5);
    int64_t behind = by * drawn_below(3);
    Options o = {.factor = rates[drawn_below(5)],
                 .stream = random_stream(seed + draws, "tests/dropout"),
                 .place = {drawn_below(1000), drawn_below(INT64_C(1) << 34), before,
                           before + width + behind}};
    if (drawn_below(2)) o.place.first_channel = 0, o.place.channels = width > 0 ? width : 1;
    CHECK("dropout", dropout_on, &o, {strewn(drawn_3d(2, positions, width), NAN), EQUAL});
}

static void dropout(void **state)
{
    (void)state;
    for_sizes(check_dropout);
}

/* --- copies ---------------------------------------------------------------------------------- */

static void check_copies(int64_t blocks, int64_t length)
{
    int64_t by = drawn_below(2) ? 4 : 1, gap = by * drawn_below(4), other = by * drawn_below(4);
    Options o = {.to = by * drawn_below(3),
                 .to_stride = length + gap,
                 .from = by * drawn_below(3),
                 .from_stride = drawn_below(8) ? length + other : 0, /* one block, many times */
                 .blocks = blocks,
                 .length = length};
    int64_t most = 12 + blocks * (length + 12);
    CHECK("copy_blocks", copy_blocks_on, &o, {drawn_2d(1, most), COPIED},
          {strewn(drawn_2d(1, most), NAN), COPIED});

    /* Within one tensor: to and from share blocks, or lie apart in them. */
    int64_t distance = by * drawn_below(length + 2);
    o.to_stride = o.from_stride = length + distance + gap;
    o.from = drawn_below(2) ? 0 : distance;
    o.to = distance - o.from;
    CHECK("copy_blocks onto itself", move_blocks_on, &o,
          {drawn_2d(1, blocks * o.to_stride + 1), COPIED});
}

static void copies(void **state)
{
    (void)state;
    for_sizes(check_copies);
    /* Strides that differ: the first block stands still and the second moves ... */
    Options o = {.to_stride = 35, .from_stride = 12, .blocks = 2, .length = 11};
    CHECK("copy_blocks from its start", move_blocks_on, &o, {drawn_2d(1, 60), COPIED});
    /* ... and the second overlaps itself where the first does not. */
    o = (Options){.from = 40, .to_stride = 90, .from_stride = 53, .blocks = 2, .length = 33};
    CHECK("copy_blocks of different strides", move_blocks_on, &o, {drawn_2d(1, 130), COPIED});
}

/* --- sums ------------------------------------------------------------------------------------ */

static void check_sums(int64_t rows, int64_t width)
{
    CHECK("sum", sum_on, NULL, {drawn_2d(rows, width), COPIED});
    CHECK("sum_of_squares", sum_of_squares_on, NULL, {drawn_2d(rows, width), COPIED});
    CHECK("add_column_sums", add_column_sums_on, NULL, {drawn_2d(1, width), NEAR_CPU},
          {drawn_2d(rows, width), COPIED});

    bool *mask = calloc((size_t)rows + 1, sizeof *mask);
    for (int64_t i = 0; i < rows; i++) mask[i] = drawn_below(3) > 0;
    for (int into = 0; into < 3; into++) {
        Options o = {.mask = mask, .dy_wanted = drawn_below(4) > 0, .into = into};
        CHECK("squared_error", squared_error_on, &o, {drawn_2d(rows, width), EQUAL},
              {drawn_2d(rows, width), EQUAL}, {drawn_2d(rows, width), EQUAL});
    }
    free(mask);
}

static void sums(void **state)
{
    (void)state;
    for_sizes(check_sums);
    check_sums(4500, 40); /* more rows than chunks of 64 */
    check_sums(9, 33000); /* more numbers than threads */
    CHECK("sum", sum_on, NULL, {strewn(drawn_2d(33, 33), NAN), COPIED});
}

/* --- layer norm ------------------------------------------------------------------------------ */

static void check_layer_norm(int64_t rows, int64_t width)
{
    int64_t rows_with_numbers = width > 0 ? rows : 0;
    Tensor x = scaled(drawn_2d(rows, width), 0.5, drawn_below(2) ? 10 : 0);
    /* Numbers that are almost equal have no normalised form that rounding would leave alone. */
    for (int64_t i = 0; i < rows * width; i++) x.data[i] += i % width % 2 ? 1 : -1;
    if (rows * width > 0 && drawn_below(4) == 0) x.data[drawn_below(rows * width)] = NAN;
    CHECK("layer_norm_forward", layer_norm_forward_on, NULL, {drawn_2d(rows, width), NEAR_CPU},
          {drawn_2d(1, rows_with_numbers), NEAR_CPU}, {drawn_2d(1, rows_with_numbers), NEAR_CPU},
          {x, COPIED}, {drawn_2d(1, width), COPIED}, {drawn_2d(1, width), COPIED});
    CHECK("layer_norm_backward", layer_norm_backward_on, NULL, {drawn_2d(rows, width), NEAR_CPU},
          {drawn_2d(1, width), NEAR_CPU}, {drawn_2d(1, width), NEAR_CPU},
          {drawn_2d(1, rows_with_numbers), COPIED},
          {scaled(drawn_2d(1, rows_with_numbers), 0.5, 1), COPIED}, {drawn_2d(rows, width), COPIED},
          {drawn_2d(rows, width), COPIED}, {drawn_2d(1, width), COPIED});
}

static void layer_norm(void **state)
{
    (void)state;
    for_sizes(check_layer_norm);
    /* Where another kernel begins. */
    static const int64_t widths[] = {511,  512,  513,  516,  1023, 1024, 1025,
                                     1028, 8191, 8192, 8193, 8196, 20000};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) check_layer_norm(9, widths[i]);
}

/* --- embedding ------------------------------------------------------------------------------- */

static void check_embedding_of(int64_t rows, int64_t width, int64_t slice, int64_t vocabulary)
{
    int32_t *tokens = calloc((size_t)rows + 1, sizeof *tokens);
    for (int64_t i = 0; i < rows; i++) tokens[i] = (int32_t)drawn_below(vocabulary);
    Options o = {
        .tokens = tokens, .first_token = drawn_below(vocabulary - slice + 1), .factor = 1.7};
    CHECK("embedding_forward", embedding_forward_on, &o, {drawn_2d(rows, width), EQUAL},
          {strewn(drawn_2d(slice, width), NAN), COPIED});
    CHECK("embedding_backward", embedding_backward_on, &o, {drawn_2d(slice, width), NEAR_CPU},
          {drawn_2d(rows, width), COPIED});
    free(tokens);
}

static void check_embedding(int64_t rows, int64_t width)
{
    int64_t vocabulary = 1 + drawn_below(2) * drawn_below(300);
    check_embedding_of(rows, width, drawn_below(vocabulary + 1), vocabulary);
}

static void embedding(void **state)
{
    (void)state;
    for_sizes(check_embedding);
    check_embedding_of(700, 5, 2, 2);       /* chunks of many rows */
    check_embedding_of(90000, 1, 500, 900); /* host arrays that outgrow what was there */
}

/* --- cross entropy --------------------------------------------------------------------------- */

/* A block has a row: more of them show nothing that these do not. */
static const int64_t most_rows = 33;

/* Some rows do not count; the targets of the others are below `vocabulary`. */
static int32_t *drawn_targets(int64_t rows, int64_t vocabulary)
{
    int32_t *targets = calloc((size_t)rows + 1, sizeof *targets);
    for (int64_t i = 0; i < rows; i++)
        targets[i] = drawn_below(5) ? (int32_t)drawn_below(vocabulary) : -1;
    return targets;
}

/* Hidden and infinitely bad logits; never that of the target, nor all. */
static Tensor drawn_logits(int64_t rows, int64_t width, const int32_t *targets, int64_t first)
{
    Tensor logits = scaled(drawn_2d(rows, width), drawn_below(2) ? 20 : 2, 0);
    for (int64_t i = 0; i < rows && width > 1; i++) {
        int64_t j = drawn_below(width);
        if (targets[i] - first != j && drawn_below(2)) logits.data[i * width + j] = -INFINITY;
    }
    return logits;
}

static void check_cross_entropy(int64_t rows, int64_t width)
{
    if (rows > most_rows) return;
    int64_t rows_with_numbers = width > 0 ? rows : 0;
    int32_t *targets = drawn_targets(rows, width);
    for (int gradient = 0; gradient < 2; gradient++) {
        Options o = {.tokens = targets, .gradient = gradient};
        Tensor logits = drawn_logits(rows, width, targets, 0);
        if (rows * width > 0 && drawn_below(4) == 0)
            logits.data[drawn_below(rows * width)] = drawn_below(2) ? NAN : INFINITY;
        CHECK("cross_entropy", cross_entropy_on, &o, {drawn_2d(1, rows_with_numbers), NEAR_CPU},
              {logits, gradient ? NEAR_CPU : COPIED});
    }
    free(targets);
}

/* Parts as two slices would give them, of which the first is this one's. */
static Tensor drawn_parts(int64_t rows, int64_t slices, const int32_t *targets, int64_t here)
{
    Tensor parts = drawn_3d(slices, rows, 3);
    for (int64_t s = 0; s < slices; s++)
        for (int64_t i = 0; i < rows; i++) {
            Real *part = parts.data + 3 * (s * rows + i);
            bool has_target = (targets[i] < here) == (s == 0);
            part[0] = (Real)(5 + drawn_below(3));
            part[1] = (Real)(s > 0 && drawn_below(4) == 0 ? 0 : 1 + drawn_below(9));
            if (part[1] == 0) part[0] = -(Real)INFINITY;
            part[2] = has_target ? part[2] : -(Real)INFINITY;
        }
    return parts;
}

static void check_slices(int64_t rows, int64_t width)
{
    if (rows > most_rows) return;
    int64_t first = drawn_below(20), vocabulary = first + width + drawn_below(20) + 1;
    int32_t *targets = drawn_targets(rows, vocabulary);
    for (int gradient = 0; gradient < 2; gradient++) {
        Options o = {.tokens = targets, .first_token = first, .gradient = gradient};
        CHECK("cross_entropy_slice", cross_entropy_slice_on, &o, {drawn_2d(rows, 3), NEAR_CPU},
              {drawn_logits(rows, width, targets, first), COPIED});
        Tensor empty = drawn_2d(rows, width);
        for (int64_t i = 0; i < tensor_count(empty); i++) empty.data[i] = -(Real)INFINITY;
        CHECK("cross_entropy_slice of nothing", cross_entropy_slice_on, &o,
              {drawn_2d(rows, 3), NEAR_CPU}, {empty, COPIED});
        CHECK("cross_entropy_join", cross_entropy_join_on, &o, {drawn_2d(1, rows), NEAR_CPU},
              {drawn_logits(rows, width, targets, first), gradient ? NEAR_CPU : COPIED},
              {drawn_parts(rows, 1 + drawn_below(4), targets, first + width), COPIED});
    }
    free(targets);
}

static void cross_entropy(void **state)
{
    (void)state;
    for_sizes(check_cross_entropy);
    for_sizes(check_slices);
    check_cross_entropy(5, 8000);
    check_cross_entropy(5, 8001);
}

/* --- compression ----------------------------------------------------------------------------- */

static void check_compression(int64_t length, int64_t width)
{
    for (int64_t rate = 1; rate <= 4; rate++) {
        CHECK("pool_mean", pool_mean_on, NULL, {drawn_3d(2, length, width), NEAR_CPU},
              {drawn_3d(2, length * rate, width), COPIED});
        CHECK("pool_max", pool_max_on, NULL, {drawn_3d(2, length, width), EQUAL},
              {strewn(drawn_3d(2, length * rate, width), NAN), COPIED});
    }
    const int64_t distances[] = {0, 1, 2, length - 1, length, length + 3};
    for (int i = 0; i < 6; i++) {
        Options o = {.distance = (int)(distances[i] > 0 ? distances[i] : 0)};
        CHECK("pair_with_earlier", pair_with_earlier_on, &o,
              {drawn_3d(2, length, 2 * width), COPIED},
              {strewn(drawn_3d(2, length, width), NAN), COPIED});
        CHECK("pair_with_earlier_backward", pair_with_earlier_backward_on, &o,
              {drawn_3d(2, length, width), EQUAL}, {drawn_3d(2, length, 2 * width), COPIED});
    }
    int64_t per_block = drawn_below(2 * length + 1);
    int32_t *chosen = calloc((size_t)(2 * per_block) + 1, sizeof *chosen);
    for (int64_t i = 0; i < 2 * per_block; i++) chosen[i] = (int32_t)drawn_below(length);
    Options o = {.tokens = chosen};
    CHECK("select_rows", select_rows_on, &o, {drawn_3d(2, per_block, width), COPIED},
          {strewn(drawn_3d(2, length, width), NAN), COPIED});
    free(chosen);
}

static void compression(void **state)
{
    (void)state;
    for_sizes(check_compression);
}

/* --- storage and streams --------------------------------------------------------------------- */

static void memory_is_zeros_or_not_there(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    const size_t too_much = (size_t)1 << 60;
    Real found[COUNT], *device = cuda->op->allocate(cuda, sizeof found);
    Real *host = cuda->op->allocate_host(cuda, sizeof found);
    assert_true(device != NULL && host != NULL && (uintptr_t)device % 64 == 0);
    cuda->op->download(cuda, found, tensor_1d(device, COUNT));
    for (int i = 0; i < COUNT; i++) assert_true(found[i] == 0 && host[i] == 0);
    cuda->op->release(cuda, device);
    cuda->op->release_host(cuda, host);
    assert_null(cuda->op->allocate(cuda, too_much));
    assert_null(cuda->op->allocate_host(cuda, too_much));
    Real *again = cuda->op->allocate(cuda, 0); /* the device goes on */
    assert_non_null(again);
    cuda->op->release(cuda, again);
}

/* Copies that are only begun take their place between the operations. */
static void copies_beside_operations_keep_their_order(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    const size_t bytes = COUNT * sizeof(Real);
    Real *first = cuda->op->allocate_host(cuda, bytes),
         *second = cuda->op->allocate_host(cuda, bytes);
    Real *result = cuda->op->allocate_host(cuda, bytes);
    Tensor x = tensor_1d(cuda->op->allocate(cuda, bytes), COUNT);
    Tensor y = tensor_1d(cuda->op->allocate(cuda, bytes), COUNT);
    for (int i = 0; i < COUNT; i++) first[i] = (Real)i, second[i] = (Real)(3 * i + 1);

    cuda->op->upload_begin(cuda, x, first);
    cuda->op->add(cuda, y, x);
    cuda->op->upload_begin(cuda, x, second);
    cuda->op->add(cuda, y, x);
    cuda->op->download_begin(cuda, result, y);
    int64_t mark = cuda->op->mark(cuda);
    cuda->op->scale(cuda, x, 2); /* behind the mark */
    cuda->op->wait(cuda, mark);
    for (int i = 0; i < COUNT; i++) assert_true(result[i] == (Real)(4 * i + 1));

    for (int i = 0; i < COUNT; i++) result[i] = 0;
    cuda->op->download_begin(cuda, result, x);
    mark = cuda->op->mark(cuda);
    for (int i = 0; i < PAL_MARKS - 1; i++) cuda->op->mark(cuda);
    cuda->op->wait(cuda, mark); /* the oldest that can be waited for */
    for (int i = 0; i < COUNT; i++) assert_true(result[i] == 2 * second[i]);
    cuda->op->synchronize(cuda);
    cuda->op->release(cuda, x.data);
    cuda->op->release(cuda, y.data);
    cuda->op->release_host(cuda, first);
    cuda->op->release_host(cuda, second);
    cuda->op->release_host(cuda, result);
}

/* More calls than the ring of host arrays has room for, none of which waits. */
static void host_arrays_may_change_after_the_call(void **state)
{
    (void)state;
    enum { ROWS = 20000, CALLS = 60 };
    int32_t *tokens = calloc(ROWS, sizeof *tokens);
    Tensor table = tensor_2d(cuda->op->allocate(cuda, CALLS * sizeof(Real)), CALLS, 1);
    Tensor sum = tensor_2d(cuda->op->allocate(cuda, ROWS * sizeof(Real)), ROWS, 1);
    Tensor y = tensor_2d(cuda->op->allocate(cuda, ROWS * sizeof(Real)), ROWS, 1);
    Real values[CALLS], found[ROWS];
    for (int i = 0; i < CALLS; i++) values[i] = (Real)(i + 1);
    cuda->op->upload(cuda, table, values);
    for (int call = 0; call < CALLS; call++) {
        for (int i = 0; i < ROWS; i++) tokens[i] = call;
        cuda->op->embedding_forward(cuda, y, table, tokens, 0, 1);
        cuda->op->add(cuda, sum, y);
    }
    cuda->op->download(cuda, found, sum);
    for (int i = 0; i < ROWS; i++) assert_true(found[i] == CALLS * (CALLS + 1) / 2);
    cuda->op->release(cuda, table.data);
    cuda->op->release(cuda, sum.data);
    cuda->op->release(cuda, y.data);
    free(tokens);
}

/* --- creation -------------------------------------------------------------------------------- */

static void a_device_says_what_it_is(void **state)
{
    (void)state;
    assert_string_equal(cuda->op->name, "cuda");
    assert_false(cuda->shares_memory || cuda->mpi_reaches_it);
    assert_int_equal(cuda->threads, 1);
    assert_non_null(strstr(cuda->description, " GiB, "));
    assert_non_null(strstr(cuda->description, "compute capability "));
    assert_true(cuda->scratch_bytes >= (size_t)32 << 20);
}

/* Of the emulation only, which takes what there is from the environment. */
static void a_device_that_cannot_be_used_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value, *says;
    } lacks[] = {
        {"CUDA_EMULATION_DEVICES", "nodriver", "no NVIDIA driver on this machine"},
        {"CUDA_EMULATION_DEVICES", "0", "but no GPU (CUDA_VISIBLE_DEVICES is \"7\")"},
        {"CUDA_EMULATION_CAPABILITY", "7.5", "compute capability 7.5; this build has code for 8.0"},
        {"CUDA_EMULATION_BUSY", "1", "another may have it for itself"},
        {"CUDA_EMULATION_MEMORY", "1000000", "the GPU is full: it has no 32 MiB"},
    };
    if (strncmp(cuda->description, "emulated", 8) != 0) skip();
    device_destroy(&cuda); /* its memory counts */
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
        setenv(lacks[i].name, lacks[i].value, 1);
        Device *none = cpu;
        assert_int_equal(device_create_cuda(&none, 3), PAL_ERROR_UNAVAILABLE);
        assert_null(none);
        if (strstr(status_message(), lacks[i].says) == NULL ||
            strstr(status_message(), "device.name = cpu") == NULL)
            fail_msg("%s=%s: %s", lacks[i].name, lacks[i].value, status_message());
        unsetenv(lacks[i].name);
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
    assert_int_equal(device_create_cuda(&cuda, 3), PAL_OK);
}

int main(void)
{
    const char *given = getenv("PALIMPSEST_TEST_SEED");
    seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    printf("PALIMPSEST_TEST_SEED=%llu\n", (unsigned long long)seed);
    if (device_create_cuda(&cuda, 0) != PAL_OK || device_create_cpu(&cpu, 2) != PAL_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_says_what_it_is),
        cmocka_unit_test(memory_is_zeros_or_not_there),
        cmocka_unit_test(copies_beside_operations_keep_their_order),
        cmocka_unit_test(host_arrays_may_change_after_the_call),
        cmocka_unit_test(products),
        cmocka_unit_test(products_are_counted),
        cmocka_unit_test(elementwise),
        cmocka_unit_test(dropout),
        cmocka_unit_test(copies),
        cmocka_unit_test(sums),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(embedding),
        cmocka_unit_test(cross_entropy),
        cmocka_unit_test(compression),
        cmocka_unit_test(adam),
        cmocka_unit_test(a_device_that_cannot_be_used_is_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    device_destroy(&cuda);
    device_destroy(&cpu);
    return failed;
}
