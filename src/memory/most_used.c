/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps the T/c evicted slots that got the most attention in this window (mean over heads and
 * counted queries), in temporal order; of equals the older.
 */
#include <stdlib.h>

#include "src/memory/compression.h"

typedef struct UsedSlot Slot;

static int by_usage(const void *left, const void *right)
{
    const Slot *a = left, *b = right;
    if (a->usage != b->usage) return a->usage > b->usage ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

static int by_index(const void *left, const void *right)
{
    const Slot *a = left, *b = right;
    return a->index < b->index ? -1 : 1;
}

void most_used_compress(Device *device, const Compressor *compressor, Tensor evicted)
{
    CompressionWorkspace *work = compressor->work;
    int64_t rows = evicted.dims[0], window = evicted.dims[1], made = work->makes.count;
    size_t kept = (size_t)(window / compressor->rate);
    device->op->download(device, work->usage_on_host, work->usage);

    Slot *slots = work->slots;
    for (int64_t b = 0; b < rows; b++) {
        for (int64_t t = 0; t < window; t++)
            slots[t] = (Slot){work->usage_on_host[b * window + t], (int32_t)t};
        qsort(slots, (size_t)window, sizeof *slots, by_usage);
        qsort(slots, kept, sizeof *slots, by_index);
        for (int64_t i = 0; i < made; i++)
            work->chosen[b * made + i] = slots[work->makes.first + i].index;
    }
    device->op->select_rows(device, work->fresh, evicted, work->chosen);
}
