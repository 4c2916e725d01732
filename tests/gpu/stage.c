/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/gpu/stage.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/fatal.h"
#include "src/base/random.h"

/* As in the paper; rows are what one GPU may have of the batch. PG-19's width, heads and
 * feed-forward are not in the paper: here they are those of WikiText-103. */
static const Sizes all_sizes[] = {
    {"pg19", 8, 512, 512, 512, 2, 1024, 16, 4096, 32000, 1 << 26, 8192, 1 << 28, 1 << 27,
     NUMBER_FLOAT32},
    {"enwik8", 8, 768, 768, 1152, 3, 1024, 8, 3072, 256, 1 << 26, 8192, 1 << 28, 1 << 27,
     NUMBER_FLOAT32},
    {"tiny", 2, 20, 16, 12, 2, 16, 2, 24, 40, 1000, 32, 1 << 12, 1 << 8, NUMBER_FLOAT32},
};

const Sizes *sizes_find(const char *name)
{
    for (size_t i = 0; i < sizeof all_sizes / sizeof *all_sizes; i++)
        if (strcmp(all_sizes[i].name, name) == 0) return &all_sizes[i];
    return NULL;
}

enum { NUMBERS = 1 << 20 }; /* drawn once, and repeated in large tensors */

void stage_begin(Stage *stage, Device *device, const Sizes *sizes)
{
    *stage = (Stage){.device = device, .sizes = sizes};
    stage->numbers = malloc(NUMBERS * sizeof *stage->numbers);
    if (stage->numbers == NULL) fatal(PAL_ERROR_UNAVAILABLE, "no memory for %d numbers", NUMBERS);
    RandomStream stream = random_stream(1, "tests/gpu");
    for (int i = 0; i < NUMBERS; i++)
        stage->numbers[i] = (Real)(0.2 * random_uniform(stream, (uint64_t)i) - 0.1);
}

void stage_clear(Stage *stage)
{
    for (int i = 0; i < stage->num_taken; i++)
        stage->device->op->release(stage->device, stage->taken[i].data);
    free(stage->tokens);
    free(stage->mask);
    Stage empty = {.device = stage->device, .sizes = stage->sizes, .numbers = stage->numbers};
    *stage = empty;
}

void stage_end(Stage *stage)
{
    stage_clear(stage);
    free(stage->numbers);
    stage->numbers = NULL;
}

static void fill(Stage *stage, Tensor x)
{
    int64_t count = tensor_count(x);
    Tensor line = tensor_reshape_2d(x, count, 1);
    for (int64_t at = 0; at < count; at += NUMBERS) {
        int64_t part = count - at < NUMBERS ? count - at : NUMBERS;
        stage->device->op->upload(stage->device, tensor_slice(line, at, part), stage->numbers);
    }
}

static Tensor take(Stage *stage, Tensor shape)
{
    int64_t count = tensor_count(shape);
    PAL_ASSERT(stage->num_taken < STAGE_MOST_TENSORS);
    if (!stage->full)
        shape.data =
            stage->device->op->allocate(stage->device, (size_t)count * number_size(shape.type));
    stage->full = stage->full || !tensor_exists(shape);
    if (stage->full) return tensor_none;
    stage->taken[stage->num_taken++] = shape;
    fill(stage, shape);
    return shape;
}

Tensor stage_1d(Stage *stage, int64_t a) { return take(stage, tensor_1d(NULL, a)); }

Tensor stage_2d(Stage *stage, int64_t a, int64_t b) { return take(stage, tensor_2d(NULL, a, b)); }

Tensor stage_3d(Stage *stage, int64_t a, int64_t b, int64_t c)
{
    return take(stage, tensor_3d(NULL, a, b, c));
}

static Tensor take_operand(Stage *stage, Tensor shape)
{
    shape.type = stage->sizes->operands;
    return take(stage, shape);
}

Tensor stage_operand_1d(Stage *stage, int64_t a) { return take_operand(stage, tensor_1d(NULL, a)); }

Tensor stage_operand_2d(Stage *stage, int64_t a, int64_t b)
{
    return take_operand(stage, tensor_2d(NULL, a, b));
}

Tensor stage_operand_3d(Stage *stage, int64_t a, int64_t b, int64_t c)
{
    return take_operand(stage, tensor_3d(NULL, a, b, c));
}
