/* SPDX-License-Identifier: Apache-2.0
 *
 * From a thread's sums to the gradients.
 *
 * Who adds what, so that the same call gives the same bits without atomics: sums over the queries
 * of a row (dk, dv) and over a head (dr, du, dw) are added to the result by the thread that begins
 * the row or head. A thread that begins in the middle of one carries its sums to the end, where
 * they are added thread by thread. That is one row and one head per thread at most, since shares
 * are contiguous (attention_work.h).
 *
 * Each function does part `part` of `parts` of its work; different parts touch different numbers.
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_SUMS_H
#define PAL_TENSOR_CPU_ATTENTION_SUMS_H

#include "src/tensor/cpu/attention_pack.h"

void attention_zero_head_sums(const AttentionCall *call, const AttentionScratch *scratch,
                              const AttentionSums *sums);

/* Adds to dk and dv of one source and row. */
void attention_add_row_sums(const AttentionCall *call, int source_number, int row, int head,
                            const AttentionSums *sums, int part, int parts);

/* Adds to dcontent_bias, and to dr and dposition_bias of all sources. */
void attention_add_head_sums(const AttentionCall *call, const AttentionScratch *scratch, int head,
                             const AttentionSums *sums, int part, int parts);

#endif
