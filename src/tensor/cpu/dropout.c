/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/random_block.h"

/* Numbers whose elements follow each other: a row where it has all channels, else one position. */
typedef struct Line {
    Real *x;
    int64_t first, count; /* elements [first, first + count) */
} Line;

/* Blocks of elements, counted from element 0, that a line of this length can touch. */
static int64_t blocks_of(int64_t count)
{
    return (count + 2 * (int64_t)PAL_RANDOM_BLOCK - 2) / PAL_RANDOM_BLOCK;
}

/* The block-th block of elements that the line touches. */
static void drop_block(Line line, int64_t block, RandomStream stream, uint32_t threshold, Real kept)
{
    int64_t base = (line.first / PAL_RANDOM_BLOCK + block) * PAL_RANDOM_BLOCK;
    int64_t begin = base > line.first ? base : line.first;
    int64_t end = line.first + line.count;
    if (end > base + PAL_RANDOM_BLOCK) end = base + PAL_RANDOM_BLOCK;
    if (begin >= end) return;

    uint32_t words[PAL_RANDOM_BLOCK];
    cpu_random_block(stream, (uint64_t)base / 4, words);
    const uint32_t *word = words + (begin - base);
    Real *x = line.x + (begin - line.first);
#pragma omp simd
    for (int64_t j = 0; j < end - begin; j++) x[j] = word[j] >= threshold ? x[j] * kept : 0;
}

void cpu_dropout(Device *device, Tensor x, RandomStream stream, DropoutPlace place, double rate)
{
    int64_t count = tensor_count(x);
    if (count == 0 || rate == 0.0) return;
    PAL_ASSERT(x.num_dims == 3);
    int64_t positions = x.dims[1], width = x.dims[2];
    uint32_t threshold = cpu_dropout_threshold(rate);
    Real kept = (Real)(1.0 / (1.0 - rate));

    bool whole = width == place.channels;
    int64_t lines_per_row = whole ? 1 : positions, length = whole ? positions * width : width;
    int64_t blocks = blocks_of(length), all = x.dims[0] * lines_per_row * blocks;
    int parts = cpu_parts(device, 4 * count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(all, part, parts);
        for (int64_t i = range.begin; i < range.end; i++) {
            int64_t number = i / blocks, row = number / lines_per_row;
            int64_t position = place.first_position + number % lines_per_row;
            Line line = {tensor_reals(x) + number * length,
                         position * place.channels + place.first_channel, length};
            RandomStream of_row = random_substream(stream, (uint64_t)(place.first_row + row), 0);
            drop_block(line, i % blocks, of_row, threshold, kept);
        }
    }
}
