/* SPDX-License-Identifier: Apache-2.0
 *
 * The device: a table of operations that model code is written over, once. `cpu/` implements it,
 * one file per operation or family under the same names; every other device is compared with
 * `cpu/`, and `cpu/` with plain double-precision loops (tests/test_device_*.c).
 *
 * Conventions of every operation:
 *   - order of arguments: device, results, saved for backward, inputs, parameters, scalars;
 *   - forward overwrites its results, BACKWARD ADDS INTO ITS RESULTS (the caller zeroes);
 *   - tensors of one call do not overlap unless the comment says "in place";
 *   - operations cannot fail; what scratch they need is reserved at creation (reserve ...);
 *   - operations are begun in the order of the calls and may go on after the call has returned; what
 *     gives numbers to the host (download, sum, ...) waits for them. Arrays in host memory (tokens,
 *     masks, counts) are read before the call returns;
 *   - the same call on the same device with as many threads gives the same bits.
 * A (rows, n) argument may be any tensor whose last dimension is n.
 *
 * Number types: what products and attention read and leave (q, k, v, r, o, dout, dq, dk, dv), y of
 * layer_norm_forward, and the tensors of relu, gelu, dropout, of elementwise operations, of sum and
 * of compression may be bfloat16, those of one call all of one type where nothing else is said.
 * Sums are made in float32 and rounded once, as results; what attention multiplies on the way (q
 * with a bias added, weights, their gradients) a device may round, too. All other tensors are
 * float32, among them biases, lse, dr and the gradients of weights; the host's numbers always are.
 */
#ifndef PAL_TENSOR_DEVICE_H
#define PAL_TENSOR_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/random.h"
#include "src/base/status.h"
#include "src/base/timer.h"
#include "src/tensor/attention_types.h"
#include "src/tensor/tensor.h"

typedef struct Device Device;

typedef struct MatmulOptions {
    bool transpose_a, transpose_b;
    bool accumulate; /* c += instead of c = */
    Tensor bias;     /* (n) added to every row, or none */
    bool relu;       /* last of all; not together with accumulate */
} MatmulOptions;

typedef struct AdamOptions {
    double learning_rate, beta1, beta2, epsilon;
    double gradient_scale; /* multiplies the gradient first (normalisation, clipping) */
    double weight_decay;   /* decoupled: w -= learning_rate * weight_decay * w */
    int64_t update;        /* 1, 2, ... for the bias correction */
} AdamOptions;

/* Which elements of a row's stream a tensor's numbers draw in dropout: x[b,t,j] of row first_row +
 * b is element (first_position + t) channels + first_channel + j. So a slice draws what it would
 * draw as a part of the whole. */
typedef struct DropoutPlace {
    int64_t first_row, first_position, first_channel, channels;
} DropoutPlace;

/* The most that operations other than attention will be asked for. */
typedef struct OperationSizes {
    int64_t rows, width; /* of the embedding's output */
    int64_t columns;     /* of a matrix whose columns are summed */
    int64_t weight;      /* numbers of the largest weights */
    int64_t rounded;     /* numbers of the largest other tensor in bfloat16; 0: there is none */
} OperationSizes;

typedef struct DeviceOps {
    const char *name;

    void (*destroy)(Device *); /* everything but the numbers, which arenas release before */

    /* --- storage --------------------------------------------------------------------------- */
    void *(*allocate)(Device *, size_t bytes); /* 64-byte aligned, zero-filled; NULL when out */
    void (*release)(Device *, void *);
    /* Host memory that copies are fast to and from, zero-filled; NULL when out. */
    void *(*allocate_host)(Device *, size_t bytes);
    void (*release_host)(Device *, void *);
    void (*upload)(Device *, Tensor to, const Real *from /* host, all of `to` */);
    void (*download)(Device *, Real *to /* host, all of `from` */, Tensor from);

    /* Takes the scratch that operations of these sizes need, so that later calls allocate nothing.
     * Adds to device->scratch_bytes, also when there are none. Error: out of memory (69). */
    Status (*reserve)(Device *, OperationSizes);

    /* --- copies beside the operations ------------------------------------------------------ */
    /* Like upload and download, but float32 only and from and to memory of allocate_host. They are
     * in order with the operations before and (upload) after, but only begun: `from` stays as it
     * is, and `to` is not there, until wait() for a mark() that was set after. */
    void (*upload_begin)(Device *, Tensor to, const Real *from);
    void (*download_begin)(Device *, Real *to, Tensor from);
    /* What has been begun so far, copies and operations, gets a mark, and has ended after a wait for
     * it. A mark can be waited for until PAL_MARKS later ones are set. */
    int64_t (*mark)(Device *);
    void (*wait)(Device *, int64_t mark);
    /* Waits for everything: after it others than this device may read and write its numbers. */
    void (*synchronize)(Device *);
    /* For profilers: what is asked for from here on belongs to this phase; NULL: to none. */
    void (*enter_phase)(Device *, const char *name);

    /* --- products -------------------------------------------------------------------------- */
    /* c (m,n) = [c +] op(a) (m,k) op(b) (k,n) [+ bias], then relu if asked. a and b are of one type,
     * c too or float32, the bias as c. */
    void (*matmul)(Device *, Tensor c, Tensor a, Tensor b, MatmulOptions);

    /* --- attention (attention_types.h; Rae et al. 2019 over Dai et al. 2019) --------------- */
    /* The same for the three below and these shapes (numbers are not looked at). Also an error (78,
     * for the same model on every rank): heads or rows that this device cannot compute. */
    Status (*reserve_attention)(Device *, const AttentionQueries *, const AttentionSource *,
                                int num_sources);
    /* o = softmax(logits) v; lse: log of the sum of exp(logits), saved for backward.
     * Queries outside [first_query, counted) give o = 0. */
    void (*attention_forward)(Device *, Tensor o /* (B,T,D) */, Tensor lse /* (B,H,T) */,
                              const AttentionQueries *, const AttentionSource *, int num_sources);
    /* Adds into queries->dq, dcontent_bias and each source's dk, dv, dr, dposition_bias. */
    void (*attention_backward)(Device *, const AttentionQueries *, const AttentionSource *,
                               int num_sources, Tensor o, Tensor lse, Tensor dout /* (B,T,D) */);
    /* usage (B,S): mean over heads and counted queries of the attention weight (before dropout) on
     * each slot of one source; lse is that of the forward pass over all sources. */
    void (*attention_usage)(Device *, Tensor usage, const AttentionQueries *,
                            const AttentionSource *, Tensor lse);

    /* --- layers ---------------------------------------------------------------------------- */
    /* y = (x - mean) rstd scale + shift over the last dimension, epsilon 1e-5 */
    void (*layer_norm_forward)(Device *, Tensor y, Tensor mean, Tensor rstd /* (rows) */, Tensor x,
                               Tensor scale, Tensor shift);
    void (*layer_norm_backward)(Device *, Tensor dx, Tensor dscale, Tensor dshift, Tensor mean,
                                Tensor rstd, Tensor dy, Tensor x, Tensor scale);
    /* y[i] = factor * table[tokens[i] - first_token]; 0 for tokens outside of this slice of the
     * vocabulary */
    void (*embedding_forward)(Device *, Tensor y /* (rows,D) */, Tensor table /* (V',D) */,
                              const int32_t *tokens, int64_t first_token, double factor);
    void (*embedding_backward)(Device *, Tensor dtable, Tensor dy, const int32_t *tokens,
                               int64_t first_token, double factor);
    /* nats[i] = -log softmax(logits[i])[target[i]], 0 where target[i] < 0. With `gradient`, logits
     * become d(sum of nats)/d(logits) in place: softmax - onehot, 0 where not counted. */
    void (*cross_entropy)(Device *, Tensor nats /* (rows) */, Tensor logits /* (rows,V) */,
                          const int32_t *targets, bool gradient);
    /* The same where the vocabulary is cut into slices. First what one slice contributes to each
     * row: (highest logit, sum of exp(logit - highest), logit of the target or -infinity) ... */
    void (*cross_entropy_slice)(Device *, Tensor part /* (rows,3) */, Tensor logits /* (rows,V') */,
                                const int32_t *targets, int64_t first_token);
    /* ... then, from the parts of all slices, nats, and with `gradient` this slice's gradient. */
    void (*cross_entropy_join)(Device *, Tensor nats /* (rows) */, Tensor logits,
                               Tensor parts /* (slices,rows,3) */, const int32_t *targets,
                               int64_t first_token, bool gradient);
    /* In place, from the output: dy = 0 where y <= 0. */
    void (*relu_backward)(Device *, Tensor dy, Tensor y);
    /* tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    void (*gelu_forward)(Device *, Tensor y, Tensor x);
    void (*gelu_backward)(Device *, Tensor dy /* in place */, Tensor x);
    /* In place: x *= mask / (1 - rate). Element i of row r draws word i % 4 of index i / 4 of
     * random_substream(stream, r, 0); it is kept where word * 2^-32 >= rate. Forward and backward
     * are the same call. */
    void (*dropout)(Device *, Tensor x /* (B,n,m) */, RandomStream stream, DropoutPlace place,
                    double rate);

    /* --- elementwise and copies ------------------------------------------------------------ */
    void (*fill)(Device *, Tensor x, double value);
    void (*scale)(Device *, Tensor x, double factor);
    void (*add)(Device *, Tensor y, Tensor x); /* y += x */
    /* Of any two types. For each of `blocks` blocks: `length` numbers from `from + block * from_stride` to
     * `to + block * to_stride`. Ranges may overlap only within a block (memmove), and not
     * between types. */
    void (*copy_blocks)(Device *, Tensor to, int64_t to_stride, Tensor from, int64_t from_stride,
                        int64_t blocks, int64_t length);
    /* bias (n) += sum over rows of x (rows,n) */
    void (*add_column_sums)(Device *, Tensor bias, Tensor x);

    /* --- compression primitives; blocks of rows lie within one (B,T,D) tensor -------------- */
    void (*pool_mean)(Device *, Tensor y /* (B,T/c,D) */, Tensor x /* (B,T,D) */);
    void (*pool_max)(Device *, Tensor y, Tensor x);
    /* y[b,t] = [x[b,t-distance], x[b,t]], zeros before the block: (B,T,2D) */
    void (*pair_with_earlier)(Device *, Tensor y, Tensor x /* (B,T,D) */, int distance);
    void (*pair_with_earlier_backward)(Device *, Tensor dx, Tensor dy, int distance);
    /* y[b,i] = x[b, chosen[b*n+i]] */
    void (*select_rows)(Device *, Tensor y /* (B,n,D) */, Tensor x /* (B,T,D) */,
                        const int32_t *chosen);
    /* The sum over the rows with mask[row] of (y - target)^2; there dy = 2 (y - target),
     * elsewhere 0. dy may be none, y itself or target itself. */
    double (*squared_error)(Device *, Tensor dy, Tensor y /* (rows,n) */, Tensor target,
                            const bool *mask /* (rows) host */);

    /* --- optimiser ------------------------------------------------------------------------- */
    double (*sum)(Device *, Tensor x);
    double (*sum_of_squares)(Device *, Tensor x);
    /* Kingma & Ba 2015 with decoupled weight decay */
    void (*adam)(Device *, Tensor w, Tensor m, Tensor v, Tensor g, AdamOptions);
} DeviceOps;

enum { PAL_MARKS = 256, PAL_HARDWARE_BYTES = 16 };

struct Device {
    const DeviceOps *op;
    char description[160]; /* of the hardware, for the log; empty: nothing to say */
    unsigned char hardware[PAL_HARDWARE_BYTES]; /* the same bytes: the same GPU; 0: none */
    bool shares_memory;   /* host code may read and write the device's numbers */
    bool mpi_reaches_it;  /* MPI may be handed addresses of its numbers */
    int threads;          /* that operations of this device use */
    PhaseTimes *times;    /* borrowed; matmul and attention add 2mnk to times->operations */
    size_t scratch_bytes; /* that operations hold for themselves, or asked for and did not get */
    size_t free_bytes;    /* of the device's own memory when it was created; 0: it has none */
    void *context;        /* the implementation's own */
};

/* The CPU device. `threads` >= 1 OpenMP threads. */
Status device_create_cpu(Device **device, int threads);

/* The GPU number local_rank of those that this process sees, counted round. Errors (69): there is
 * none that can be used, and why. In builds with CUDA only: see backend.h. */
Status device_create_cuda(Device **device, int local_rank);

/* Waits for what was begun. Accepts a device that is not there. */
static inline void device_destroy(Device **device)
{
    if (*device != NULL) (*device)->op->destroy(*device);
    *device = NULL;
}

/* All of `from` into `to`, which has as many numbers. */
static inline void device_copy(Device *device, Tensor to, Tensor from)
{
    int64_t count = tensor_count(from);
    device->op->copy_blocks(device, to, count, from, count, 1, count);
}

/* `to` becomes x in its own number type; nothing where `to` is x. */
static inline void device_round(Device *device, Tensor to, Tensor x)
{
    if (to.data != x.data) device_copy(device, to, x);
}

/* Counts 2 m n k operations of a matrix product to the running phase. */
static inline void device_count(Device *device, double operations)
{
    if (device->times != NULL) device->times->operations[device->times->current] += operations;
}

#endif
