/* SPDX-License-Identifier: Apache-2.0 */
#include "mpi/grid_shape.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LIST_SIZE = 640 };

GridPlace grid_place(GridShape shape, int rank)
{
    return (GridPlace){.data = rank / (shape.tensor * shape.pipeline),
                       .pipeline = rank / shape.tensor % shape.pipeline,
                       .tensor = rank % shape.tensor};
}

static bool divides_work(int tensor, const GridLimits *l)
{
    return l->heads % tensor == 0 && l->feed_forward % tensor == 0 &&
           l->window_groups % tensor == 0;
}

static bool is_possible(GridShape shape, const GridLimits *l)
{
    return shape.data <= l->rows && shape.pipeline <= l->layers && divides_work(shape.tensor, l);
}

static bool fits_wish(GridShape shape, GridShape wish, const GridLimits *l)
{
    bool automatic_leaves_node = wish.tensor == 0 && l->ranks_per_node % shape.tensor != 0;
    return (wish.data == 0 || wish.data == shape.data) &&
           (wish.pipeline == 0 || wish.pipeline == shape.pipeline) &&
           (wish.tensor == 0 || wish.tensor == shape.tensor) && !automatic_leaves_node;
}

/* The next shape with this product, from the best one on: most data, then most tensor ranks. */
static bool next_shape(GridShape *shape, int ranks)
{
    if (shape->data == 0) {
        *shape = (GridShape){ranks, 1, 1};
        return true;
    }
    int rest = ranks / shape->data;
    for (int tensor = shape->tensor - 1; tensor >= 1; tensor--) {
        if (rest % tensor != 0) continue;
        *shape = (GridShape){shape->data, rest / tensor, tensor};
        return true;
    }
    for (int data = shape->data - 1; data >= 1; data--) {
        if (ranks % data != 0) continue;
        *shape = (GridShape){data, 1, ranks / data};
        return true;
    }
    return false;
}

static void list_possible(const GridLimits *l, char list[LIST_SIZE])
{
    GridShape shape = {0};
    size_t used = 0;
    list[0] = '\0';
    while (next_shape(&shape, l->ranks)) {
        if (!is_possible(shape, l)) continue;
        if (used + 40 > LIST_SIZE) {
            snprintf(list + used, LIST_SIZE - used, ", ...");
            return;
        }
        used += (size_t)snprintf(list + used, LIST_SIZE - used, "%s%d x %d x %d",
                                 used > 0 ? ", " : "", shape.data, shape.pipeline, shape.tensor);
    }
}

static const char *size_text(int size, char text[16])
{
    if (size == 0) return "auto";
    snprintf(text, 16, "%d", size);
    return text;
}

Status grid_shape_choose(GridShape *chosen, GridShape wish, const GridLimits *l)
{
    GridShape shape = {0};
    while (next_shape(&shape, l->ranks)) {
        if (!is_possible(shape, l) || !fits_wish(shape, wish, l)) continue;
        *chosen = shape;
        return PAL_OK;
    }
    char list[LIST_SIZE], texts[3][16];
    list_possible(l, list);
    PAL_FAIL(
        PAL_ERROR_CONFIG,
        "parallel: data %s x pipeline %s x tensor %s does not fit %d rank%s; with rows = %d "
        "(data at most), layers = %d (pipeline at most), and heads = %d, feed_forward = %d and "
        "window / compression_rate = %d (tensor divides them) %s%s%s",
        size_text(wish.data, texts[0]), size_text(wish.pipeline, texts[1]),
        size_text(wish.tensor, texts[2]), l->ranks, l->ranks == 1 ? "" : "s", l->rows, l->layers,
        l->heads, l->feed_forward, l->window_groups,
        list[0] != '\0' ? "data x pipeline x tensor can be " : "no grid has as many ranks", list,
        list[0] != '\0' ? "" : "; start fewer");
}
