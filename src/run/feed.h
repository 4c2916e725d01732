/* SPDX-License-Identifier: Apache-2.0
 *
 * The windows that one rank reads, in order: where the rows stand (io/batch_order), the tokens
 * (io/reader), and the buffers between them.
 */
#ifndef PAL_RUN_FEED_H
#define PAL_RUN_FEED_H

#include "io/batch_order.h"
#include "io/dataset.h"
#include "io/reader.h"
#include "mpi/partition.h"
#include "src/layers/window.h"
#include "src/tensor/arena.h"

typedef struct Feed {
    Dataset *dataset;
    Split split;
    BatchOrder *order;      /* NULL: random tokens without end */
    RowWindow *row_windows; /* (R) of the last window */
    Batch batch;
    Range rows;      /* this rank's of R */
    int slots;       /* rows of a window: rows.count, and empty ones that fill the last row group */
    int vocabulary;  /* of random tokens */
    int64_t windows; /* read so far */
} Feed;

/* Local; the same arguments but `rows` on every rank. slots >= rows.count. Takes over the dataset,
 * which was opened with a slot for each of these rows, and the order, which may refer to the
 * dataset's offsets. */
void feed_create(Feed *feed, Arena *arena, Dataset *dataset, Split split, BatchOrder *order,
                 Range rows, int slots);

/* Local. One document without end in every row, of tokens drawn at random by Zipf's law: for
 * timing. */
void feed_create_random(Feed *feed, Arena *arena, int vocabulary, int all_rows, Range rows,
                        int slots, int window);

void feed_destroy(Feed *feed);

/* Local. The next window; tokens, counts and flags stay valid until the next call. On a failure the
 * window is all padding, so that the rank can go on to where all ranks agree. */
Status feed_next(Feed *feed, Window *window);

/* Local. Targets of the last window over all R rows, this rank's and the others'. */
int64_t feed_global_tokens(const Feed *feed);

#endif
