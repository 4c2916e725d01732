/* SPDX-License-Identifier: Apache-2.0
 *
 * Which tokens each of the R rows reads in each window: pure arithmetic on document lengths, the
 * same on every rank, no reading and no messages.
 *
 * Documents form an endless sequence; element e is document permutation_k[e mod documents] of epoch
 * k = e / documents. A row reads a document to its end in windows of up to T tokens (the last one
 * may be shorter; a window never crosses into another document) and then takes the next element;
 * rows that end together take in ascending order. Rows 0 .. R-1 begin with elements 0 .. R-1.
 * Documents without tokens are passed over.
 *
 * A split that is one single document is cut into R contiguous lanes instead, one a row (the first
 * len mod R lanes are one token longer); at its end a lane begins again at its beginning.
 *
 * The state is the R cursors and `next`: what a checkpoint stores.
 */
#ifndef PAL_IO_BATCH_ORDER_H
#define PAL_IO_BATCH_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/status.h"

/* Where a row stands: its next target is token `offset` of `document`. In lanes, document is 0 and
 * offset counts from the beginning of the stream. epoch counts passes from 0. */
typedef struct RowCursor {
    int64_t document, offset, epoch;
} RowCursor;

/* What one row reads in one window: targets are tokens [offset, offset + count) of `document`. */
typedef struct RowWindow {
    int64_t document;
    int64_t offset;
    int64_t epoch;
    int count;   /* 0 .. T; 0 only at the end of batch_order_create_once */
    bool starts; /* the first window of a document (or lane) */
    bool ends;   /* the last one */
} RowWindow;

typedef struct BatchOrder {
    int rows, window; /* R, T */
    bool shuffle, lanes, once;
    int64_t documents;
    const int64_t *offsets; /* (documents + 1) borrowed */
    RowCursor *cursors;     /* (R); document -1: the row has nothing left */
    int64_t next;           /* the sequence element that the next free row takes */

    uint64_t seed;
    int64_t *permutation; /* (documents) of epoch permutation_epoch; once: the list */
    int64_t permutation_epoch;
    int64_t num_listed; /* once: length of the list */
} BatchOrder;

/* Local. Training order, endless; R = rows, T = window. `offsets` must outlive the order.
 * Errors: no documents (65), a single document with fewer tokens than rows (65). */
Status batch_order_create(BatchOrder **order, int rows, int window, int64_t documents,
                          const int64_t *offsets, bool shuffle, uint64_t seed);

/* Local. Evaluation order: every document of `list` once, whole, in the order of the list, spread
 * over the rows; list NULL: all documents 0, 1, ... A single document is one row's, not cut. */
Status batch_order_create_once(BatchOrder **order, int rows, int window, int64_t documents,
                               const int64_t *offsets, const int64_t *list, int64_t num_listed);

/* Local. Accepts NULL, sets NULL. */
void batch_order_destroy(BatchOrder **order);

/* Local. The next window of every row; advances. */
void batch_order_next(BatchOrder *order, RowWindow *windows /* (R) */);

/* Local. No row has anything left (only after create_once). */
bool batch_order_done(const BatchOrder *order);

/* Local. Continues exactly where the order stood whose cursors and next these are.
 * Error: a cursor that does not fit the documents (65). */
Status batch_order_restore(BatchOrder *order, const RowCursor *cursors /* (R) */, int64_t next);

#endif
