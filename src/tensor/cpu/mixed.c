/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations on tensors of either number type. The other files of this folder compute in
 * float32 (double in that build); here what is bfloat16 is widened before one of them and rounded
 * after it, so that every result is rounded once, however it came about. Where all is float32
 * nothing happens but the call.
 */
#include "src/tensor/cpu/mixed.h"

#include "src/base/checked.h"
#include "src/tensor/cpu/attention.h"
#include "src/tensor/cpu/context.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/product.h"

typedef enum Use { READ = 1, WRITE = 2, UPDATE = READ | WRITE } Use;

/* A tensor of the operation, and what is done with it. */
typedef struct Operand {
    Tensor *tensor;
    Use use;
} Operand;

enum { MOST_OPERANDS = 4 + 7 * PAL_MAX_SOURCES };

/* What has been widened, to be rounded at the end. */
typedef struct Widened {
    Operand operands[MOST_OPERANDS];
    Tensor originals[MOST_OPERANDS];
    int count;
} Widened;

/* Copies begin on cache lines of their own. */
enum { COPY_ALIGNMENT = 16 };

static int64_t room_for(Tensor x)
{
    return (tensor_count(x) + COPY_ALIGNMENT - 1) / COPY_ALIGNMENT * COPY_ALIGNMENT;
}

/* Puts float32 copies in the place of all bfloat16 tensors. */
static void widen(Device *device, Widened *widened, int count, const Operand *operands)
{
    int64_t numbers = 0;
    widened->count = 0;
    for (int i = 0; i < count; i++) {
        Tensor x = *operands[i].tensor;
        if (!tensor_exists(x) || x.type == NUMBER_FLOAT32) continue;
        widened->originals[widened->count] = x;
        widened->operands[widened->count++] = operands[i];
        numbers += room_for(x);
    }
    if (widened->count == 0) return;
    Real *room = cpu_scratch(device, CPU_WIDENED, checked_size(numbers) * sizeof(Real));
    for (int i = 0; i < widened->count; i++) {
        Tensor *x = widened->operands[i].tensor;
        x->data = room;
        x->type = NUMBER_FLOAT32;
        room += room_for(*x);
        if (widened->operands[i].use & READ) device_copy(device, *x, widened->originals[i]);
    }
}

static void round_back(Device *device, const Widened *widened)
{
    for (int i = 0; i < widened->count; i++)
        if (widened->operands[i].use & WRITE)
            device_copy(device, widened->originals[i], *widened->operands[i].tensor);
}

/* A product has two tensors, weights and a bias, or only a result and a bias where the processor
 * multiplies bfloat16; squared_error has three tensors. */
Status mixed_reserve(Device *device, OperationSizes sizes)
{
    int64_t third = sizes.rounded;
    if (sizes.rounded == 0) return PAL_OK;
    if (!cpu_multiplies_bfloat16() && sizes.weight > third) third = sizes.weight;
    int64_t numbers = 2 * sizes.rounded + third + sizes.columns + 4 * COPY_ALIGNMENT;
    return cpu_scratch_reserve(device, CPU_WIDENED, checked_size(numbers) * sizeof(Real));
}

/* call, with what stands behind it widened around it */
#define MIXED(call, ...)                                                              \
    do {                                                                              \
        const Operand operands[] = {__VA_ARGS__};                                     \
        Widened widened;                                                              \
        widen(device, &widened, (int)(sizeof operands / sizeof *operands), operands); \
        call;                                                                         \
        round_back(device, &widened);                                                 \
    } while (0)

/* a and b stay as they are where the processor multiplies bfloat16. */
void mixed_matmul(Device *device, Tensor c, Tensor a, Tensor b, MatmulOptions options)
{
    Use use = options.accumulate ? UPDATE : WRITE;
    PAL_ASSERT(a.type == b.type);
    PAL_ASSERT(!tensor_exists(options.bias) || options.bias.type == c.type);
    if (a.type == NUMBER_BFLOAT16 && cpu_multiplies_bfloat16())
        MIXED(cpu_matmul(device, c, a, b, options), {&c, use}, {&options.bias, READ});
    else
        MIXED(cpu_matmul(device, c, a, b, options), {&c, use}, {&a, READ}, {&b, READ},
              {&options.bias, READ});
}

/* --- attention -------------------------------------------------------------------------------- */

/* Its tensors in the caller's structures are constant; these are copies. */
typedef struct AttentionCopy {
    AttentionQueries queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    Operand operands[MOST_OPERANDS];
    int count;
} AttentionCopy;

static void add_operand(AttentionCopy *copy, Tensor *tensor, Use use)
{
    copy->operands[copy->count++] = (Operand){tensor, use};
}

static void copy_attention(AttentionCopy *copy, const AttentionQueries *queries,
                           const AttentionSource *sources, int num_sources)
{
    copy->queries = *queries;
    copy->count = 0;
    add_operand(copy, &copy->queries.q, READ);
    for (int s = 0; s < num_sources; s++) {
        AttentionSource *source = &copy->sources[s];
        *source = sources[s];
        add_operand(copy, &source->k, READ);
        add_operand(copy, &source->v, READ);
        add_operand(copy, &source->r, READ);
    }
}

/* Of a backward pass, which has the most; gradients are as large as what they are of. */
Status mixed_reserve_attention(Device *device, const AttentionQueries *queries,
                               const AttentionSource *sources, int num_sources)
{
    int64_t numbers = 4 * room_for(queries->q);
    for (int s = 0; s < num_sources; s++)
        numbers += 2 * (room_for(sources[s].k) + room_for(sources[s].v)) + room_for(sources[s].r);
    if (queries->q.type == NUMBER_BFLOAT16)
        PAL_TRY(cpu_scratch_reserve(device, CPU_WIDENED, checked_size(numbers) * sizeof(Real)));
    return cpu_reserve_attention(device, queries, sources, num_sources);
}

void mixed_attention_forward(Device *device, Tensor o, Tensor lse, const AttentionQueries *queries,
                             const AttentionSource *sources, int num_sources)
{
    AttentionCopy copy;
    Widened widened;
    copy_attention(&copy, queries, sources, num_sources);
    add_operand(&copy, &o, WRITE);
    widen(device, &widened, copy.count, copy.operands);
    cpu_attention_forward(device, o, lse, &copy.queries, copy.sources, num_sources);
    round_back(device, &widened);
}

void mixed_attention_backward(Device *device, const AttentionQueries *queries,
                              const AttentionSource *sources, int num_sources, Tensor o, Tensor lse,
                              Tensor dout)
{
    AttentionCopy copy;
    Widened widened;
    copy_attention(&copy, queries, sources, num_sources);
    add_operand(&copy, &o, READ);
    add_operand(&copy, &dout, READ);
    add_operand(&copy, &copy.queries.dq, UPDATE);
    for (int s = 0; s < num_sources; s++) {
        add_operand(&copy, &copy.sources[s].dk, UPDATE);
        add_operand(&copy, &copy.sources[s].dv, UPDATE);
    }
    widen(device, &widened, copy.count, copy.operands);
    cpu_attention_backward(device, &copy.queries, copy.sources, num_sources, o, lse, dout);
    round_back(device, &widened);
}

void mixed_attention_usage(Device *device, Tensor usage, const AttentionQueries *queries,
                           const AttentionSource *source, Tensor lse)
{
    AttentionCopy copy;
    Widened widened;
    copy_attention(&copy, queries, source, 1);
    widen(device, &widened, copy.count, copy.operands);
    cpu_attention_usage(device, usage, &copy.queries, copy.sources, lse);
}

/* --- layers ----------------------------------------------------------------------------------- */

void mixed_layer_norm_forward(Device *device, Tensor y, Tensor mean, Tensor rstd, Tensor x,
                              Tensor scale, Tensor shift)
{
    MIXED(cpu_layer_norm_forward(device, y, mean, rstd, x, scale, shift), {&y, WRITE});
}

void mixed_relu_backward(Device *device, Tensor dy, Tensor y)
{
    MIXED(cpu_relu_backward(device, dy, y), {&dy, UPDATE}, {&y, READ});
}

void mixed_gelu_forward(Device *device, Tensor y, Tensor x)
{
    MIXED(cpu_gelu_forward(device, y, x), {&y, WRITE}, {&x, READ});
}

void mixed_gelu_backward(Device *device, Tensor dy, Tensor x)
{
    MIXED(cpu_gelu_backward(device, dy, x), {&dy, UPDATE}, {&x, READ});
}

void mixed_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate)
{
    MIXED(cpu_dropout(device, x, stream, place, rate), {&x, UPDATE});
}

/* --- elementwise and sums --------------------------------------------------------------------- */

void mixed_fill(Device *device, Tensor x, double value)
{
    MIXED(cpu_fill(device, x, value), {&x, WRITE});
}

void mixed_scale(Device *device, Tensor x, double factor)
{
    MIXED(cpu_scale(device, x, factor), {&x, UPDATE});
}

void mixed_add(Device *device, Tensor y, Tensor x)
{
    MIXED(cpu_add(device, y, x), {&y, UPDATE}, {&x, READ});
}

void mixed_add_column_sums(Device *device, Tensor bias, Tensor x)
{
    MIXED(cpu_add_column_sums(device, bias, x), {&x, READ});
}

double mixed_sum(Device *device, Tensor x)
{
    double sum;
    MIXED(sum = cpu_sum(device, x), {&x, READ});
    return sum;
}

double mixed_squared_error(Device *device, Tensor dy, Tensor y, Tensor target, const bool *mask)
{
    double sum;
    MIXED(sum = cpu_squared_error(device, dy, y, target, mask), {&dy, WRITE}, {&y, READ},
          {&target, READ});
    return sum;
}

/* --- compression ------------------------------------------------------------------------------ */

void mixed_pool_mean(Device *device, Tensor y, Tensor x)
{
    MIXED(cpu_pool_mean(device, y, x), {&y, WRITE}, {&x, READ});
}

void mixed_pool_max(Device *device, Tensor y, Tensor x)
{
    MIXED(cpu_pool_max(device, y, x), {&y, WRITE}, {&x, READ});
}

void mixed_pair_with_earlier(Device *device, Tensor y, Tensor x, int distance)
{
    MIXED(cpu_pair_with_earlier(device, y, x, distance), {&y, WRITE}, {&x, READ});
}

void mixed_pair_with_earlier_backward(Device *device, Tensor dx, Tensor dy, int distance)
{
    MIXED(cpu_pair_with_earlier_backward(device, dx, dy, distance), {&dx, UPDATE}, {&dy, READ});
}

void mixed_select_rows(Device *device, Tensor y, Tensor x, const int32_t *chosen)
{
    MIXED(cpu_select_rows(device, y, x, chosen), {&y, WRITE}, {&x, READ});
}
