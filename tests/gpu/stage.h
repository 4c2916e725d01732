/* SPDX-License-Identifier: Apache-2.0
 *
 * What kernels are timed on: the sizes of a model, and tensors of these sizes on a device. A group
 * of kernels shares its tensors; between groups a stage is emptied.
 */
#ifndef PAL_TESTS_GPU_STAGE_H
#define PAL_TESTS_GPU_STAGE_H

#include "src/tensor/device.h"

/* Of one micro-batch of one layer; the letters are those of dims.h. */
typedef struct Sizes {
    const char *name;
    int rows, window, memory, compressed, rate, width, heads, feed_forward, vocabulary;
    int64_t weights;     /* that one call of Adam updates */
    int64_t product;     /* side of the product that measures the device */
    int64_t copied;      /* numbers of the copy that does */
    int64_t evicted;     /* numbers that are read before every run, to empty the caches */
    NumberType operands; /* of what products and attention read and leave */
} Sizes;

/* NULL: there are none of this name. */
const Sizes *sizes_find(const char *name);

enum { STAGE_MOST_TENSORS = 48 };

typedef struct Stage {
    Device *device;     /* borrowed */
    const Sizes *sizes; /* borrowed */
    bool full;          /* the device had no memory for a tensor */
    Tensor taken[STAGE_MOST_TENSORS];
    int num_taken;
    Real *numbers; /* owned; what tensors are filled with */

    /* Attention: compressed memory, memory, window. */
    AttentionQueries queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    Tensor o, lse, dout, usage;

    /* The rest: (BT,D), (BT,F), (BT,V), vectors, weights; a, b, hidden, pooled, and the weights that
     * products read are operands. */
    Tensor a, b, x, dx, dy, hidden, dhidden, logits, nats, mean, rstd, scale, shift, table, pooled;
    Tensor square, up, down, dsquare, dup, bias, folded, conv, w, m, v, g;
    int32_t *tokens; /* owned; (BT) on the host */
    bool *mask;      /* owned; (BT) on the host */
} Stage;

void stage_begin(Stage *stage, Device *device, const Sizes *sizes);
void stage_end(Stage *stage);
/* Gives all tensors back. */
void stage_clear(Stage *stage);

/* Tensors of random numbers between -0.1 and 0.1; without data where the stage is full. */
Tensor stage_1d(Stage *stage, int64_t a);
Tensor stage_2d(Stage *stage, int64_t a, int64_t b);
Tensor stage_3d(Stage *stage, int64_t a, int64_t b, int64_t c);
/* The same of operands. */
Tensor stage_operand_1d(Stage *stage, int64_t a);
Tensor stage_operand_2d(Stage *stage, int64_t a, int64_t b);
Tensor stage_operand_3d(Stage *stage, int64_t a, int64_t b, int64_t c);

/* --- the kernels ------------------------------------------------------------------------------ */

/* What a kernel cannot do without: bytes that must come from and go to memory once, operations of
 * products, 2 m n k each. */
typedef struct Work {
    double bytes, operations;
} Work;

typedef struct Kernel {
    const char *name;
    Work (*work)(const Sizes *sizes);
    void (*run)(Stage *stage);
    bool counted; /* the device counts just these operations */
} Kernel;

typedef struct KernelGroup {
    void (*prepare)(Stage *stage);
    const Kernel *kernels;
    int count;
} KernelGroup;

extern const KernelGroup attention_kernels, product_kernels, layer_kernels, optimiser_kernels;

/* Bytes of so many float32 numbers, and of operands. */
static inline double bytes_of(double numbers) { return numbers * (double)sizeof(Real); }
static inline double operand_bytes(const Sizes *s, double numbers)
{
    return numbers * (double)number_size(s->operands);
}

#endif
