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
#include "src/base/whereabouts.h"

/* Far more than 64 MiB each of any file. */
static const int64_t MOST_BLOCKS = INT64_C(1) << 36;

/* The tables of a file, the same on every rank. */
typedef struct Tables {
    char **names;
    int64_t num_names;
    Block *blocks; /* sorted */
    int64_t num_blocks;
} Tables;

static void tables_free(Tables *tables)
{
    h5_texts_free(&tables->names, tables->num_names);
    free(tables->blocks);
}

static Status damaged_table(const H5File *file, const char *what)
{
    PAL_FAIL(PAL_ERROR_DATA, "%s: is damaged: %s; take another checkpoint", h5_path(file), what);
}

/* A name that is read as another one could hide a tensor from the checks. */
static Status read_names(H5File *file, Tables *tables)
{
    int64_t checksum;
    PAL_TRY(h5_get_integer(file, "/", PAL_CHECKSUM_NAMES, &checksum));
    PAL_TRY(h5_read_texts(file, PAL_CHECKSUM_TENSORS, &tables->names, &tables->num_names));
    bool same = names_checksum((const char *const *)tables->names, tables->num_names) == checksum;
    return h5_agree(file, same ? PAL_OK
                               : damaged_table(file, "the names of its tensors are not those that "
                                                     "were written"));
}

static Status read_blocks(H5File *file, Tables *tables)
{
    Shape shape;
    PAL_TRY(h5_shape(file, PAL_CHECKSUM_BLOCKS, &shape));
    if (shape.num_dims != 2 || shape.dims[1] != BLOCK_COLUMNS || shape.dims[0] > MOST_BLOCKS)
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
    free(rows);
    if (status == PAL_OK) blocks_sort(tables->blocks, count);
    tables->num_blocks = count;
    return status;
}

/* Blocks of one tensor that this rank reads. */
typedef struct Looking {
    const H5File *file;
    const char *name;
    const Block *blocks;
} Looking;

static Status look_at_block(void *context, int number, const void *bytes, size_t count)
{
    const Looking *looking = context;
    const Block *block = &looking->blocks[number];
    whereabouts_progress();
    if (block_checksum(block, bytes, count) != block->checksum)
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is damaged: %lld bytes of %s are not those that were written (row %lld and "
                 "following); take another checkpoint",
                 h5_path(looking->file), (long long)count, looking->name,
                 (long long)block->box.first[0]);
    return PAL_OK;
}

/* The ranks share the blocks, from tensor to tensor another one beginning. */
static Range own_share(const Group *group, int64_t count, int64_t tensor)
{
    if (group == NULL) return (Range){0, count};
    return partition_range(count, group->size, (int)((group->rank + tensor) % group->size));
}

/* A table that leaves something out would make damage invisible. */
static Status verify_tensor(H5File *file, const Tables *tables, int64_t tensor, const Block *blocks,
                            int64_t count, int64_t *bytes)
{
    const char *name = tables->names[tensor];
    Shape shape;
    StoredType type;
    PAL_TRY(h5_shape(file, name, &shape));
    PAL_TRY(h5_stored_type(file, name, &type));
    if (!blocks_tile(blocks, count, shape))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: is damaged: its table of checksums does not cover every number of %s once; "
                 "take another checkpoint",
                 h5_path(file), name);
    *bytes += shape_elements(shape) * (int64_t)stored_size(type);

    Range mine = own_share(h5_group(file), count, tensor);
    Slab *boxes = fatal_calloc(checked_size(mine.count) + 1, sizeof *boxes, "a list of boxes");
    for (int64_t i = 0; i < mine.count; i++) boxes[i] = blocks[mine.first + i].box;
    Looking looking = {file, name, blocks + mine.first};
    Status status =
        h5_visit_slabs(file, name, type, boxes, checked_int(mine.count), look_at_block, &looking);
    free(boxes);
    return status;
}

static bool begins(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static Status verify_tensors(H5File *file, const Tables *tables, const char *folder, int64_t *bytes)
{
    int64_t first = 0;
    for (int64_t t = 0; t < tables->num_names; t++) {
        const Block *blocks = tables->blocks + first;
        int64_t count = blocks_of_tensor(blocks, tables->num_blocks - first, t);
        if (begins(tables->names[t], folder))
            PAL_TRY(verify_tensor(file, tables, t, blocks, count, bytes));
        first += count;
    }
    if (first != tables->num_blocks)
        return damaged_table(file, "its table of checksums has rows of no tensor");
    return PAL_OK;
}

Status checkpoint_verify(Checkpoint *checkpoint, const char *folder, int64_t *bytes)
{
    Tables tables = {0};
    H5File *file = checkpoint->file;
    int64_t total = 0;
    const Group *group = h5_group(file);
    bool looks = group == NULL || group_is_root(group);
    Status status = h5_agree(file, looks ? h5_check_structure(file) : PAL_OK);
    if (status == PAL_OK) status = read_names(file, &tables);
    if (status == PAL_OK) status = read_blocks(file, &tables);
    if (status == PAL_OK) status = verify_tensors(file, &tables, folder, &total);
    tables_free(&tables);
    if (bytes != NULL) *bytes = total;
    return status;
}
