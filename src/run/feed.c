/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/feed.h"

#include <math.h>

#include "src/base/checked.h"
#include "src/base/random.h"

static void take_buffers(Feed *feed, Arena *arena, int row_count, int length)
{
    size_t rows = checked_size(feed->slots), window = checked_size(length);
    size_t all_rows = checked_size(row_count);
    feed->row_windows = arena_host(arena, PURPOSE_DATA, all_rows * sizeof *feed->row_windows);
    feed->batch = (Batch){
        .rows = checked_int(feed->rows.count),
        .window = length,
        .inputs = arena_host(arena, PURPOSE_DATA, rows * window * sizeof(int32_t)),
        .targets = arena_host(arena, PURPOSE_DATA, rows * window * sizeof(int32_t)),
        .counted = arena_host(arena, PURPOSE_DATA, rows * sizeof(int)),
        .starts = arena_host(arena, PURPOSE_DATA, rows * sizeof(bool)),
    };
    if (feed->batch.targets == NULL) return;
    for (size_t i = 0; i < rows * window; i++) feed->batch.targets[i] = -1;
}

void feed_create(Feed *feed, Arena *arena, Dataset *dataset, Split split, BatchOrder *order,
                 Range rows, int slots)
{
    *feed =
        (Feed){.dataset = dataset, .split = split, .order = order, .rows = rows, .slots = slots};
    take_buffers(feed, arena, order->rows, order->window);
}

void feed_create_random(Feed *feed, Arena *arena, int vocabulary, int all_rows, Range rows,
                        int slots, int window)
{
    *feed = (Feed){.rows = rows, .slots = slots, .vocabulary = vocabulary};
    take_buffers(feed, arena, all_rows, window);
}

void feed_destroy(Feed *feed)
{
    batch_order_destroy(&feed->order);
    dataset_close(&feed->dataset);
}

static void pad_everything(Feed *feed)
{
    int64_t positions = (int64_t)feed->batch.rows * feed->batch.window;
    for (int64_t i = 0; i < positions; i++) {
        feed->batch.inputs[i] = 0;
        feed->batch.targets[i] = -1;
    }
    for (int b = 0; b < feed->batch.rows; b++) {
        feed->batch.counted[b] = 0;
        feed->batch.starts[b] = false;
    }
}

/* Token number r with a probability of nearly 1 / (r + 1) over their sum (Zipf's law), as words
 * numbered by falling frequency have: where a vocabulary has clusters, time depends on it. */
static int32_t zipf_token(double uniform, int vocabulary)
{
    int32_t token = (int32_t)exp(uniform * log(vocabulary + 1.0)) - 1;
    return token < vocabulary ? token : vocabulary - 1;
}

static void draw_tokens(Feed *feed)
{
    int length = feed->batch.window;
    for (int b = 0; b < feed->batch.rows; b++) {
        RandomStream stream =
            random_substream(random_stream(0, "feed/random"), (uint64_t)feed->windows,
                             (uint64_t)(feed->rows.first + b));
        for (int64_t t = 0; t < length; t++) {
            int64_t at = (int64_t)b * length + t;
            feed->batch.inputs[at] = feed->batch.targets[at] =
                zipf_token(random_uniform(stream, (uint64_t)t), feed->vocabulary);
        }
        feed->batch.counted[b] = length;
        feed->batch.starts[b] = feed->windows == 0;
    }
}

static Status read_tokens(Feed *feed)
{
    batch_order_next(feed->order, feed->row_windows);
    Status status =
        reader_fill(&feed->batch, feed->dataset, feed->split, feed->row_windows + feed->rows.first);
    if (status != PAL_OK) pad_everything(feed);
    return status;
}

Status feed_next(Feed *feed, Window *window)
{
    Status status = PAL_OK;
    if (feed->order != NULL)
        status = read_tokens(feed);
    else
        draw_tokens(feed);
    feed->windows++;
    window->rows = feed->slots;
    window->length = feed->batch.window;
    window->inputs = feed->batch.inputs;
    window->targets = feed->batch.targets;
    window->counted = feed->batch.counted;
    window->starts = feed->batch.starts;
    window->first_row = feed->rows.first;
    return status;
}

int64_t feed_global_tokens(const Feed *feed)
{
    int64_t tokens = 0;
    for (int row = 0; row < feed->order->rows; row++) tokens += feed->row_windows[row].count;
    return tokens;
}
