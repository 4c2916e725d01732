/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills windows with tokens. A document x_0 ... x_{n-1} is read as inputs [<doc>, x_0 ... x_{n-2}]
 * with targets x_0 ... x_{n-1}, so every token is predicted exactly once; a lane that begins inside
 * the stream has the token before it as first input instead of <doc>.
 */
#ifndef PAL_IO_READER_H
#define PAL_IO_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "io/batch_order.h"
#include "io/dataset.h"
#include "src/base/status.h"

/* The caller owns the buffers. */
typedef struct Batch {
    int rows, window; /* B, T */
    int32_t *inputs;  /* (B, T) padding: the document token */
    int32_t *targets; /* (B, T) padding: -1 */
    int *counted;     /* (B)    positions from this one on are padding */
    bool *starts;     /* (B)    a document (or lane) begins here */
} Batch;

/* Local. windows: of this rank's B rows, i.e. the order's windows + first row. Row b reads through
 * slot b of the dataset. */
Status reader_fill(const Batch *batch, Dataset *dataset, Split split,
                   const RowWindow *windows /* (B) */);

#endif
