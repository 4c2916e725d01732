/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks: the pieces in which the ranks write a checkpoint, each with a checksum of its own. The
 * table of all blocks stands in the file, so that any number of ranks can check all of it.
 */
#ifndef PAL_IO_CHECKPOINT_BLOCKS_H
#define PAL_IO_CHECKPOINT_BLOCKS_H

#include "io/checkpoint.h"
#include "mpi/shared_file.h"

/* Tables of a file: names of tensors, and (blocks, BLOCK_COLUMNS) of int64: the tensor's place in
 * that list, first and count in up to four dimensions (PAL_MAX_DIMS), checksum. */
#define PAL_CHECKSUM_TENSORS "/checksums/tensors"
#define PAL_CHECKSUM_BLOCKS  "/checksums/blocks"
enum { BLOCK_COLUMNS = 2 + 2 * PAL_MAX_DIMS };

typedef struct Block {
    int64_t tensor;
    Slab box;
    int64_t checksum;
} Block;

/* Of one rank, in the order of tensors and their boxes. */
typedef struct BlockList {
    Block *blocks; /* (count) owned */
    int64_t count;
    int64_t first, total; /* where they stand among those of all ranks */
    int *of_tensor;       /* (tensors) how many of them */
    int *most_of_tensor;  /* (tensors) the same of the rank that has most */
} BlockList;

/* Collective over the group. This rank's boxes, cut into blocks of bounded size; in each rank's
 * `data` they lie one after another. Asserts that of every tensor every element is in exactly one
 * block of one rank. */
void blocks_create(BlockList *list, const Group *group, const CheckpointTensor *tensors,
                   int num_tensors);
void blocks_destroy(BlockList *list);

/* Local. XXH3 of the block's bytes as they stand in the file (row-major), seeded with what block it
 * is: a block's bytes in another place are wrong bytes. */
int64_t block_checksum(const Block *block, const void *bytes, size_t count);

/* Local. Where the block lies in a file that has its tensor from `start` on. The caller frees
 * *offsets. */
FilePieces block_pieces(const Block *block, Shape shape, size_t element_size, int64_t start,
                        int64_t **offsets);

/* Local. A row of the table, and back. */
void block_to_row(const Block *block, int64_t row[BLOCK_COLUMNS]);
Block block_from_row(const int64_t row[BLOCK_COLUMNS]);

/* Local. By tensor. */
void blocks_sort(Block *blocks, int64_t count);
/* Local. How many of those that follow are this tensor's. */
int64_t blocks_of_tensor(const Block *sorted, int64_t count, int64_t tensor);
/* Local. Whether the blocks, all of one tensor, hold each of its elements once. */
bool blocks_tile(const Block *blocks, int64_t count, Shape shape);

/* Local. What stands in the file's root for the names of PAL_CHECKSUM_TENSORS: XXH3 of all of them,
 * each with the zero at its end. */
#define PAL_CHECKSUM_NAMES "tensor_names_checksum"
int64_t names_checksum(const char *const *names, int64_t count);

#endif
