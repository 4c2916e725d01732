/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader.h"

#include <string.h>

static Status fill_row(const Batch *batch, Dataset *dataset, Split split, int row,
                       const RowWindow *window)
{
    int32_t *inputs = batch->inputs + (int64_t)row * batch->window;
    int32_t *targets = batch->targets + (int64_t)row * batch->window;
    int count = window->count;
    PAL_ASSERT(count <= batch->window);
    batch->counted[row] = count;
    batch->starts[row] = window->starts;

    if (count > 0) {
        int64_t first = dataset->splits[split].offsets[window->document] + window->offset;
        /* The token before comes first: it is still in the block that the last window was read
         * from. */
        inputs[0] = dataset->tokenizer.document_token;
        if (window->offset > 0)
            PAL_TRY(dataset_read_tokens(dataset, split, row, first - 1, 1, inputs));
        PAL_TRY(dataset_read_tokens(dataset, split, row, first, count, targets));
        memcpy(inputs + 1, targets, (size_t)(count - 1) * sizeof *inputs);
    }
    for (int t = count; t < batch->window; t++) {
        inputs[t] = dataset->tokenizer.document_token;
        targets[t] = -1;
    }
    return PAL_OK;
}

Status reader_fill(const Batch *batch, Dataset *dataset, Split split, const RowWindow *windows)
{
    for (int row = 0; row < batch->rows; row++)
        PAL_TRY(fill_row(batch, dataset, split, row, &windows[row]));
    return PAL_OK;
}
