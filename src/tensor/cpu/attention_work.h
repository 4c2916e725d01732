/* SPDX-License-Identifier: Apache-2.0
 *
 * The geometry of one attention call, and its division among threads.
 *
 * The work is one list of query blocks, head by head, in a head row by row, in a row block by
 * block. Each thread takes a contiguous piece with an equal share of visible (query, slot) pairs.
 * So a thread packs positions once per head and keys once per row, and any number of threads has
 * work.
 */
#ifndef PAL_TENSOR_CPU_ATTENTION_WORK_H
#define PAL_TENSOR_CPU_ATTENTION_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/attention_counts.h"

/* Measured: with these a tile of logits and its operands stay in the second-level cache. */
enum { QUERY_BLOCK = 64, KEY_TILE = 512 };

/* The factor between logits in base e, as users know them, and in base 2, as exp2 wants them. */
#define PAL_LOG2_E ((Real)1.44269504088896340736)
#define PAL_LN_2   ((Real)0.69314718055994530942)

typedef struct AttentionCall {
    const AttentionQueries *queries; /* borrowed */
    const AttentionSource *sources;  /* borrowed */
    int num_sources;
    int rows, length, heads, head_size; /* B, T, H, E */
    int padded_size;                    /* E rounded up to whole vectors */
    int64_t width;                      /* D: the step between rows of q, k, v, r */
    int blocks;                         /* query blocks of one row */
    int64_t weights_per_query;          /* Kpad, for the numbering of dropout */
    int64_t first_weight[PAL_MAX_SOURCES];
} AttentionCall;

AttentionCall attention_call(const AttentionQueries *queries, const AttentionSource *sources,
                             int num_sources);

/* One row and head, queries [first, last); empty when all of it is padding. */
typedef struct AttentionWork {
    int head, row, first, last;
    bool begins_row;  /* has the first block of its row and head */
    bool begins_head; /* has the first block of its head: row 0 and begins_row */
} AttentionWork;

/* The piece [begin, end) of the list that a thread takes. */
typedef struct AttentionShare {
    int64_t begin, end;
} AttentionShare;

AttentionShare attention_share(const AttentionCall *call, int thread, int threads);

/* Takes the next row and head, or what the share has of it, from the share; false when it is empty.
 */
bool attention_next(const AttentionCall *call, AttentionShare *share, AttentionWork *work);

#endif
