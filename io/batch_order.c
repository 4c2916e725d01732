/* SPDX-License-Identifier: Apache-2.0 */
#include "io/batch_order.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/random.h"

/* Tokens [begin, end) of the cursor's document are this row's: all, or its lane. */
static void row_range(const BatchOrder *order, int row, int64_t document, int64_t *begin,
                      int64_t *end)
{
    int64_t length = order->offsets[document + 1] - order->offsets[document];
    *begin = 0;
    *end = length;
    if (!order->lanes) return;
    int64_t share = length / order->rows;
    int64_t longer = length % order->rows; /* the first so many lanes have one token more */
    *begin = row * share + (row < longer ? row : longer);
    *end = *begin + share + (row < longer);
}

/* The permutation of an epoch is a pure function of (seed, epoch); the latest one is kept. */
static int64_t sequence_document(BatchOrder *order, int64_t epoch, int64_t index)
{
    if (!order->shuffle) return index;
    if (order->permutation_epoch != epoch) {
        RandomStream stream = random_stream(order->seed, "data/order");
        random_permutation(random_substream(stream, (uint64_t)epoch, 0), order->documents,
                           order->permutation);
        order->permutation_epoch = epoch;
    }
    return order->permutation[index];
}

static bool is_empty(const BatchOrder *order, int64_t document)
{
    return document >= 0 && order->offsets[document + 1] == order->offsets[document];
}

static RowCursor next_element(BatchOrder *order)
{
    if (order->once) {
        bool left = order->next < order->num_listed;
        return (RowCursor){left ? order->permutation[order->next++] : -1, 0, 0};
    }
    int64_t element = order->next++;
    int64_t epoch = element / order->documents;
    return (RowCursor){sequence_document(order, epoch, element % order->documents), 0, epoch};
}

/* Puts the row at the beginning of the next element of the sequence that has tokens. */
static void take_next(BatchOrder *order, int row)
{
    do order->cursors[row] = next_element(order);
    while (is_empty(order, order->cursors[row].document));
}

static void begin_rows(BatchOrder *order)
{
    for (int row = 0; row < order->rows; row++) {
        if (order->lanes) {
            int64_t end;
            order->cursors[row] = (RowCursor){0};
            row_range(order, row, 0, &order->cursors[row].offset, &end);
        } else {
            take_next(order, row);
        }
    }
}

static Status allocate(BatchOrder **order, int rows, int window, int64_t documents,
                       const int64_t *offsets, int64_t places)
{
    PAL_ASSERT(rows >= 1 && window >= 1);
    *order = NULL;
    BatchOrder *o = calloc(1, sizeof *o);
    RowCursor *cursors = calloc((size_t)rows, sizeof *cursors);
    int64_t *permutation = calloc((size_t)places + 1, sizeof *permutation);
    if (o == NULL || cursors == NULL || permutation == NULL) {
        free(o);
        free(cursors);
        free(permutation);
        PAL_FAIL(PAL_ERROR_UNAVAILABLE, "order of documents: out of memory");
    }
    *o = (BatchOrder){.rows = rows,
                      .window = window,
                      .documents = documents,
                      .offsets = offsets,
                      .cursors = cursors,
                      .permutation = permutation,
                      .permutation_epoch = -1};
    *order = o;
    return PAL_OK;
}

Status batch_order_create(BatchOrder **order, int rows, int window, int64_t documents,
                          const int64_t *offsets, bool shuffle, uint64_t seed)
{
    *order = NULL;
    if (documents < 1 || offsets[documents] == offsets[0])
        PAL_FAIL(PAL_ERROR_DATA, "the training split has no documents%s; prepare a text that has",
                 documents < 1 ? "" : " with tokens");
    if (documents == 1 && offsets[1] - offsets[0] < rows)
        PAL_FAIL(PAL_ERROR_DATA,
                 "the training split is one document of %lld tokens, too short for batch.rows = %d "
                 "lanes; use fewer rows",
                 (long long)(offsets[1] - offsets[0]), rows);
    PAL_TRY(allocate(order, rows, window, documents, offsets, documents));
    BatchOrder *o = *order;
    o->shuffle = shuffle;
    o->lanes = documents == 1;
    o->seed = seed;
    begin_rows(o);
    return PAL_OK;
}

Status batch_order_create_once(BatchOrder **order, int rows, int window, int64_t documents,
                               const int64_t *offsets, const int64_t *list, int64_t num_listed)
{
    int64_t count = list != NULL ? num_listed : documents;
    PAL_TRY(allocate(order, rows, window, documents, offsets, count));
    BatchOrder *o = *order;
    o->once = true;
    o->num_listed = count;
    for (int64_t i = 0; i < count; i++) o->permutation[i] = list != NULL ? list[i] : i;
    begin_rows(o);
    return PAL_OK;
}

void batch_order_destroy(BatchOrder **order)
{
    if (*order == NULL) return;
    free((*order)->cursors);
    free((*order)->permutation);
    free(*order);
    *order = NULL;
}

static RowWindow next_window(BatchOrder *order, int row)
{
    RowCursor *cursor = &order->cursors[row];
    if (cursor->document < 0) return (RowWindow){.document = -1};

    int64_t begin, end;
    row_range(order, row, cursor->document, &begin, &end);
    int64_t left = end - cursor->offset;
    int count = left < order->window ? (int)left : order->window;
    RowWindow window = {.document = cursor->document,
                        .offset = cursor->offset,
                        .epoch = cursor->epoch,
                        .count = count,
                        .starts = cursor->offset == begin,
                        .ends = count == left};
    cursor->offset += count;
    if (window.ends && order->lanes) {
        cursor->offset = begin;
        cursor->epoch++;
    } else if (window.ends) {
        take_next(order, row);
    }
    return window;
}

void batch_order_next(BatchOrder *order, RowWindow *windows)
{
    for (int row = 0; row < order->rows; row++) windows[row] = next_window(order, row);
}

bool batch_order_done(const BatchOrder *order)
{
    for (int row = 0; row < order->rows; row++)
        if (order->cursors[row].document >= 0) return false;
    return true;
}

Status batch_order_restore(BatchOrder *order, const RowCursor *cursors, int64_t next)
{
    for (int row = 0; row < order->rows; row++) {
        RowCursor c = cursors[row];
        int64_t begin = 0, end = 0;
        bool known = c.document >= 0 && c.document < order->documents;
        if (known) row_range(order, row, c.document, &begin, &end);
        bool finished = order->once && c.document == -1;
        if (!finished && (!known || c.offset < begin || c.offset >= end || c.epoch < 0))
            PAL_FAIL(PAL_ERROR_DATA,
                     "row %d stands at token %lld of document %lld, which a training split of %lld "
                     "document%s does not have; is this the data file of that run?",
                     row, (long long)c.offset, (long long)c.document, (long long)order->documents,
                     order->documents == 1 ? "" : "s");
    }
    if (next < 0) PAL_FAIL(PAL_ERROR_DATA, "the next document is number %lld", (long long)next);
    memcpy(order->cursors, cursors, (size_t)order->rows * sizeof *cursors);
    order->next = next;
    return PAL_OK;
}
