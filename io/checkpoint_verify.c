/* SPDX-License-Identifier: Apache-2.0
 *
 * All bytes of a checkpoint against their checksums. What HDF5 keeps for itself (names, shapes,
 * places, attributes) has checksums of its own, which it checks whenever it reads it.
 */
#include <stdlib.h>
#include <string.h>

#include "io/checkpoint_blocks.h"
#include "mpi/collectives.h"
#include "mpi/partition.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

/* The tables of a file. */
typedef struct Tables {
    char **names;
    int64_t num_names;
    Block *blocks;
    int64_t num_blocks;
} Tables;

static void tables_free(Tables *tables)
{
    h5_texts_free(&tables->names, tables->num_names);
    free(tables->blocks);
}

static Status read_blocks(H5File *file, Tables *tables)
{
    Shape shape;
    PAL_TRY(h5_shape(file, PAL_CHECKSUM_BLOCKS, &shape));
    if (shape.num_dims != 2 || shape.dims[1] != BLOCK_COLUMNS)
        PAL_FAIL(PAL_ERROR_DATA, "%s: %s is no table of %d columns", h5_path(file),
                 PAL_CHECKSUM_BLOCKS, BLOCK_COLUMNS);
    int64_t count = shape.dims[0];
    int64_t *rows = calloc(checked_size(count * BLOCK_COLUMNS) + 1, sizeof *rows);
    tables->blocks = calloc(checked_size(count) + 1, sizeof *tables->blocks);
    bool got = rows != NULL && tables->blocks != NULL;
    Status status = h5_agree(
        file,
        got ? PAL_OK : PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", h5_path(file)));
    if (status == PAL_OK) status = h5_read(file, PAL_CHECKSUM_BLOCKS, STORED_INT64, shape, rows);
    for (int64_t i = 0; status == PAL_OK && i < count; i++) {
        PAL_ASSERT(rows != NULL && tables->blocks != NULL);
        tables->blocks[i] = block_from_row(rows + i * BLOCK_COLUMNS);
    }
    tables->num_blocks = count;
    free(rows);
    return status;
}

/* Blocks of one tensor, and which of them this rank reads. */
typedef struct TensorBlocks {
    const Block **blocks; /* (count) */
    Slab *boxes;          /* (count) theirs */
    int64_t count;
    Range mine;
} TensorBlocks;

static void gather_blocks(TensorBlocks *found, const Tables *tables, int64_t tensor,
                          const Group *group)
{
    size_t room = checked_size(tables->num_blocks) + 1;
    *found = (TensorBlocks){0};
    found->blocks = fatal_calloc(room, sizeof(Block *), "a list of blocks");
    found->boxes = fatal_calloc(room, sizeof *found->boxes, "a list of boxes");
    for (int64_t i = 0; i < tables->num_blocks; i++) {
        const Block *block = &tables->blocks[i];
        if (block->tensor != tensor) continue;
        found->boxes[found->count] = block->box;
        found->blocks[found->count++] = block;
    }
    found->mine = group == NULL ? (Range){0, found->count}
                                : partition_range(found->count, group->size, group->rank);
}

static void blocks_free(TensorBlocks *found)
{
    free(found->blocks);
    free(found->boxes);
}

typedef struct Looking {
    const H5File *file;
    const char *name;
    const TensorBlocks *blocks;
} Looking;

static Status look_at_block(void *context, int number, const void *bytes, size_t count)
{
    const Looking *looking = context;
    const Block *block = looking->blocks->blocks[looking->blocks->mine.first + number];
    if (block_checksum(block, bytes, count) != block->checksum)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is damaged: %lld bytes of %s are not those that were written (row %lld and "
                 "following); take another checkpoint",
                 h5_path(looking->file), (long long)count, looking->name,
                 (long long)block->box.first[0]);
    return PAL_OK;
}

/* A table that leaves something out would make damage invisible. */
static Status check_complete(const H5File *file, const char *name, const TensorBlocks *blocks,
                             Shape shape)
{
    if (!slabs_tile(blocks->boxes, blocks->count, shape))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is damaged: its table of checksums does not cover every number of %s once; "
                 "take another checkpoint",
                 h5_path(file), name);
    return PAL_OK;
}

static Status verify_tensor(Checkpoint *checkpoint, const Tables *tables, int64_t tensor,
                            int64_t *bytes)
{
    H5File *file = checkpoint->file;
    const char *name = tables->names[tensor];
    Shape shape;
    StoredType type;
    PAL_TRY(h5_shape(file, name, &shape));
    PAL_TRY(h5_stored_type(file, name, &type));
    TensorBlocks blocks;
    gather_blocks(&blocks, tables, tensor, h5_group(file));
    Looking looking = {file, name, &blocks};
    Status status = check_complete(file, name, &blocks, shape);
    if (status == PAL_OK)
        status = h5_visit_slabs(file, name, type, blocks.boxes + blocks.mine.first,
                                checked_int(blocks.mine.count), look_at_block, &looking);
    blocks_free(&blocks);
    int64_t size = (int64_t)stored_size(type);
    for (int d = 0; d < shape.num_dims; d++) size *= shape.dims[d];
    *bytes += size;
    return status;
}

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

Status checkpoint_verify(Checkpoint *checkpoint, const char *folder, int64_t *bytes)
{
    Tables tables = {0};
    H5File *file = checkpoint->file;
    int64_t total = 0;
    Status status = h5_read_texts(file, PAL_CHECKSUM_TENSORS, &tables.names, &tables.num_names);
    if (status == PAL_OK) status = read_blocks(file, &tables);
    for (int64_t t = 0; t < tables.num_names && status == PAL_OK; t++)
        if (begins(tables.names[t], folder)) status = verify_tensor(checkpoint, &tables, t, &total);
    tables_free(&tables);
    if (bytes != NULL) *bytes = total;
    return status;
}
