/* SPDX-License-Identifier: Apache-2.0 */
#define XXH_INLINE_ALL
#include "io/checkpoint_blocks.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

/* Far below the 2 GiB that one transfer of MPI-IO can take, small enough to be read and checked
 * beside a model, large enough that the table stays small. */
enum { MOST_BLOCK_BYTES = 1 << 26 };

/* --- one block -------------------------------------------------------------------------------- */

int64_t block_checksum(const Block *block, const void *bytes, size_t count)
{
    int64_t row[BLOCK_COLUMNS];
    block_to_row(block, row);
    XXH64_hash_t seed = XXH3_64bits(row, (BLOCK_COLUMNS - 1) * sizeof *row);
    return (int64_t)XXH3_64bits_withSeed(bytes, count, seed);
}

int64_t names_checksum(const char *const *names, int64_t count)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (int64_t i = 0; i < count; i++) XXH3_64bits_update(&state, names[i], strlen(names[i]) + 1);
    return (int64_t)XXH3_64bits_digest(&state);
}

void block_to_row(const Block *block, int64_t row[BLOCK_COLUMNS])
{
    row[0] = block->tensor;
    memcpy(row + 1, block->box.first, sizeof block->box.first);
    memcpy(row + 1 + PAL_MAX_DIMS, block->box.count, sizeof block->box.count);
    row[BLOCK_COLUMNS - 1] = block->checksum;
}

Block block_from_row(const int64_t row[BLOCK_COLUMNS])
{
    Block block = {.tensor = row[0], .checksum = row[BLOCK_COLUMNS - 1]};
    memcpy(block.box.first, row + 1, sizeof block.box.first);
    memcpy(block.box.count, row + 1 + PAL_MAX_DIMS, sizeof block.box.count);
    return block;
}

FilePieces block_pieces(const Block *block, Shape shape, size_t element_size, int64_t start,
                        int64_t **offsets)
{
    const Slab *box = &block->box;
    int outer = shape.num_dims; /* dimensions that are gone through piece by piece */
    int64_t length = (int64_t)element_size, stride[PAL_MAX_DIMS + 1];
    stride[outer] = length;
    for (int d = outer - 1; d >= 0; d--) stride[d] = stride[d + 1] * shape.dims[d];
    while (outer > 0) {
        outer--;
        length *= box->count[outer];
        if (box->count[outer] != shape.dims[outer]) break;
    }

    int64_t count = 1, at[PAL_MAX_DIMS] = {0};
    for (int d = 0; d < outer; d++) count *= box->count[d];
    for (int d = 0; d < shape.num_dims; d++) start += box->first[d] * stride[d + 1];
    *offsets = fatal_calloc(checked_size(count + 1), sizeof **offsets, "places in a file");
    for (int64_t i = 0; i < count; i++) {
        (*offsets)[i] = start;
        for (int d = 0; d < outer; d++) (*offsets)[i] += at[d] * stride[d + 1];
        for (int d = outer - 1; d >= 0 && ++at[d] == box->count[d]; d--) at[d] = 0;
    }
    return (FilePieces){length, length > 0 ? count : 0, *offsets};
}

/* --- all blocks of a rank --------------------------------------------------------------------- */

/* Appends the blocks of a tensor; with `blocks` NULL it only counts them. */
static int64_t cut_tensor(Block *blocks, int64_t number, const CheckpointTensor *tensor)
{
    const int num_dims = tensor->shape.num_dims;
    const int64_t most = MOST_BLOCK_BYTES / (int64_t)stored_size(tensor->type);
    int64_t count = 0;
    for (int i = 0; i < tensor->num_boxes; i++) {
        Slab box = tensor->boxes[i];
        for (int d = num_dims; d < PAL_MAX_DIMS; d++) box.first[d] = box.count[d] = 0;
        int64_t parts = slab_num_parts(&box, num_dims, most);
        for (int64_t part = 0; part < parts && blocks != NULL; part++)
            blocks[count + part] =
                (Block){.tensor = number, .box = slab_part(&box, num_dims, most, part)};
        count += parts;
    }
    return count;
}

static void cut_all(BlockList *list, const CheckpointTensor *tensors, int num_tensors)
{
    size_t room = checked_size(num_tensors) + 1;
    list->of_tensor = fatal_calloc(room, sizeof *list->of_tensor, "numbers of blocks");
    list->most_of_tensor = fatal_calloc(room, sizeof *list->most_of_tensor, "numbers of blocks");
    for (int t = 0; t < num_tensors; t++) {
        list->of_tensor[t] = checked_int(cut_tensor(NULL, t, &tensors[t]));
        list->count += list->of_tensor[t];
    }
    list->blocks = fatal_calloc(checked_size(list->count + 1), sizeof(Block), "a list of blocks");
    Block *at = list->blocks;
    for (int t = 0; t < num_tensors; t++) at += cut_tensor(at, t, &tensors[t]);
}

/* --- exactly one writer for every element ----------------------------------------------------- */

static int by_tensor(const void *a, const void *b)
{
    const Block *x = a, *y = b;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

void blocks_sort(Block *blocks, int64_t count)
{
    qsort(blocks, checked_size(count), sizeof *blocks, by_tensor);
}

bool blocks_tile(const Block *blocks, int64_t count, Shape shape)
{
    Slab *boxes = fatal_calloc(checked_size(count) + 1, sizeof *boxes, "a list of boxes");
    for (int64_t i = 0; i < count; i++) boxes[i] = blocks[i].box;
    bool good = slabs_tile(boxes, count, shape);
    free(boxes);
    return good;
}

int64_t blocks_of_tensor(const Block *sorted, int64_t count, int64_t tensor)
{
    int64_t found = 0;
    while (found < count && sorted[found].tensor == tensor) found++;
    return found;
}

/* Each rank looks at some tensors. */
static void check_one_writer(const BlockList *list, const Group *group, Block *all,
                             const CheckpointTensor *tensors, int num_tensors)
{
    int64_t first = 0;
    blocks_sort(all, list->total);
    for (int t = 0; t < num_tensors; t++) {
        int64_t count = blocks_of_tensor(all + first, list->total - first, t);
        if (t % group->size == group->rank && !blocks_tile(all + first, count, tensors[t].shape))
            fatal(PAL_ERROR_INTERNAL,
                  "internal error: not every element of %s would be written by exactly one rank",
                  tensors[t].name);
        first += count;
    }
}

void blocks_create(BlockList *list, const Group *group, const CheckpointTensor *tensors,
                   int num_tensors)
{
    *list = (BlockList){0};
    cut_all(list, tensors, num_tensors);

    size_t ranks = checked_size(group->size);
    double *counts = fatal_calloc(ranks, sizeof *counts, "numbers of blocks");
    double *most = fatal_calloc(checked_size(num_tensors) + 1, sizeof *most, "numbers of blocks");
    counts[group->rank] = (double)list->count;
    group_sum_double(group, counts, group->size);
    for (int r = 0; r < group->size; r++) {
        if (r < group->rank) list->first += (int64_t)counts[r];
        list->total += (int64_t)counts[r];
    }
    for (int t = 0; t < num_tensors; t++) most[t] = list->of_tensor[t];
    group_max_double(group, most, num_tensors);
    for (int t = 0; t < num_tensors; t++) list->most_of_tensor[t] = (int)most[t];
    free(counts);
    free(most);

    /* Everyone's blocks to everyone: small beside a model, and once in a run. */
    Block *all = fatal_calloc(checked_size(list->total + 1), sizeof *all, "a list of blocks");
    memcpy(all + list->first, list->blocks, checked_size(list->count) * sizeof *all);
    group_or(group, (unsigned char *)all, checked_int(list->total * (int64_t)sizeof *all));
    check_one_writer(list, group, all, tensors, num_tensors);
    free(all);
}

void blocks_destroy(BlockList *list)
{
    free(list->blocks);
    free(list->of_tensor);
    free(list->most_of_tensor);
    *list = (BlockList){0};
}
