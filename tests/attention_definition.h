/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention as attention_types.h and DeviceOps define it, once more as plain loops in double
 * precision, for the tests of every device. Per row and head, over the slots j of all sources that
 * query i sees, with m the dropout factors (0 or 1 / (1 - rate)):
 *
 *     p_j = exp(logit_j - lse)         lse   = log sum_j exp(logit_j)
 *     o   = sum_j m_j p_j v_j          usage = mean over heads and queries of p_j
 *
 * and the gradients of sum(dout * o). A query that takes no part, or sees nothing, has o = 0 and
 * lse = 0.
 *
 * A test describes an AttentionCase, makes a Problem of it, gives the Problem's tensors to its
 * device and compares with Expected. All numbers are in the host's memory.
 */
#ifndef PAL_TESTS_ATTENTION_DEFINITION_H
#define PAL_TESTS_ATTENTION_DEFINITION_H

#include <stdbool.h>

#include "src/tensor/attention_types.h"

enum {
    MOST_ROWS = 4,
    MOST_INPUTS = 2 + 4 * PAL_MAX_SOURCES, /* q, content_bias; k, v, r, position_bias */
};

typedef struct SourceCase {
    int slots, valid[MOST_ROWS]; /* valid < 0: no counts given */
    bool causal, positions;
    int stride, shares_dr_with; /* the source before it whose dr it shares, or -1 */
} SourceCase;

typedef struct AttentionCase {
    const char *name;
    int rows, heads, head_size, length, first_query, counted[MOST_ROWS];
    bool content_bias;
    double dropout;
    int num_sources;
    SourceCase sources[PAL_MAX_SOURCES];
} AttentionCase;

/* What a device is called with. Owns the numbers of all its tensors. */
typedef struct Problem {
    const AttentionCase *c; /* borrowed */
    AttentionQueries queries;
    AttentionSource sources[PAL_MAX_SOURCES];
    Tensor o /* (B,T,D) */, lse /* (B,H,T) */, dout /* (B,T,D) */;
    NumberType type;                /* that o is rounded to between forward and backward; float32 */
    Tensor *inputs[MOST_INPUTS];    /* what gradients are checked of: tensors of queries, sources */
    Tensor *gradients[MOST_INPUTS]; /* of inputs */
    int num_inputs;
} Problem;

/* What a device has to find, in the order of the Problem's tensors of the same names. */
typedef struct Expected {
    double *o, *lse, *gradients[MOST_INPUTS];
    double *usage[PAL_MAX_SOURCES]; /* (B,S) of every source */
} Expected;

/* Inputs and dout are drawn from a standard normal distribution, the same whenever it is called.
 * Gradients are 0; o and lse hold numbers that the device must overwrite. */
Problem *problem_create(const AttentionCase *c);
void problem_destroy(Problem *p);

/* The same with heads [first, first + heads) of p alone, as a rank that holds a slice of the heads
 * sees it. c: filled here, it outlives the new Problem. */
Problem *problem_slice(const Problem *p, int first, int heads, AttentionCase *c);

/* Computes everything from the Problem's inputs and dout as they are now; its o, lse and gradients
 * are not looked at. */
Expected *expected_create(const Problem *p);
void expected_destroy(Expected *x);

/* The expected gradient of the input that has its numbers at `data`; NULL if none has. Sources that
 * share r share its gradient. */
double *expected_gradient(const Problem *p, const Expected *x, const Real *data);

#endif
