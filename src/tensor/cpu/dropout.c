/* SPDX-License-Identifier: Apache-2.0 */
#include "src/base/status.h"
#include "src/tensor/cpu/cpu_ops.h"
#include "src/tensor/cpu/parts.h"
#include "src/tensor/cpu/random_block.h"

/* Elements [begin, end) of one row; begin is a multiple of PAL_RANDOM_BLOCK. */
static void dropout_range(Real *x, int64_t begin, int64_t end, RandomStream stream,
                          uint32_t threshold, Real kept)
{
    uint32_t words[PAL_RANDOM_BLOCK];
    for (int64_t i = begin; i < end; i += PAL_RANDOM_BLOCK) {
        int64_t count = end - i < PAL_RANDOM_BLOCK ? end - i : PAL_RANDOM_BLOCK;
        cpu_random_block(stream, (uint64_t)i / 4, words);
#pragma omp simd
        for (int64_t j = 0; j < count; j++) x[i + j] = words[j] >= threshold ? x[i + j] * kept : 0;
    }
}

void cpu_dropout(Device *device, Tensor x, RandomStream stream, int64_t first_row, double rate)
{
    int64_t count = tensor_count(x);
    if (count == 0 || rate == 0.0) return;
    int64_t rows = x.dims[0], n = count / rows;
    uint32_t threshold = cpu_dropout_threshold(rate);
    Real kept = (Real)(1.0 / (1.0 - rate));

    /* Rows may be few and long, so threads divide the blocks of all rows. */
    int64_t blocks = (n + PAL_RANDOM_BLOCK - 1) / PAL_RANDOM_BLOCK;
    int parts = cpu_parts(device, 4 * count);
#pragma omp parallel for num_threads(parts) schedule(static, 1) if (parts > 1)
    for (int part = 0; part < parts; part++) {
        PartRange range = range_of_part(rows * blocks, part, parts);
        for (int64_t block = range.begin; block < range.end;) {
            int64_t row = block / blocks, first = block % blocks;
            int64_t last = first + range.end - block < blocks ? first + range.end - block : blocks;
            int64_t end = last * PAL_RANDOM_BLOCK < n ? last * PAL_RANDOM_BLOCK : n;
            RandomStream of_row = random_substream(stream, (uint64_t)(first_row + row), 0);
            dropout_range(x.data + row * n, first * PAL_RANDOM_BLOCK, end, of_row, threshold, kept);
            block += last - first;
        }
    }
}
