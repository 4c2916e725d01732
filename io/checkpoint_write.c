/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checkpoint_state.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/whereabouts.h"

/* --- the plan --------------------------------------------------------------------------------- */

void checkpoint_plan_create(CheckpointPlan *plan, const Group *group, FileTransfer transfer,
                            const CheckpointTensor *tensors, int num_tensors)
{
    *plan = (CheckpointPlan){.group = group, .transfer = transfer};
    plan->tensors = fatal_calloc(checked_size(num_tensors), sizeof *tensors, "a list of tensors");
    memcpy(plan->tensors, tensors, checked_size(num_tensors) * sizeof *tensors);
    plan->num_tensors = num_tensors;
    blocks_create(&plan->blocks, group, plan->tensors, num_tensors);
}

void checkpoint_plan_destroy(CheckpointPlan *plan)
{
    blocks_destroy(&plan->blocks);
    free(plan->tensors);
    *plan = (CheckpointPlan){0};
}

size_t checkpoint_tensor_bytes(const CheckpointPlan *plan, int tensor)
{
    const CheckpointTensor *t = &plan->tensors[tensor];
    return checked_size(checkpoint_numbers(t)) * stored_size(t->type);
}

size_t checkpoint_plan_bytes(const CheckpointPlan *plan)
{
    size_t bytes = 0;
    for (int t = 0; t < plan->num_tensors; t++) bytes += checkpoint_tensor_bytes(plan, t);
    return bytes;
}

/* --- the file's layout ------------------------------------------------------------------------ */

static int64_t *table_place(const CheckpointWriting *w) { return &w->places[w->plan->num_tensors]; }

static Status lay_out_tensors(CheckpointWriting *w)
{
    const CheckpointPlan *plan = w->plan;
    for (int t = 0; t < plan->num_tensors; t++)
        PAL_TRY(h5_place(w->file, plan->tensors[t].name, plan->tensors[t].type,
                         plan->tensors[t].shape, &w->places[t]));
    const Shape table = {2, {plan->blocks.total, BLOCK_COLUMNS}};
    return h5_place(w->file, PAL_CHECKSUM_BLOCKS, STORED_INT64, table, table_place(w));
}

static Status write_names(const CheckpointWriting *w)
{
    const CheckpointPlan *plan = w->plan;
    const char **names =
        fatal_calloc(checked_size(plan->num_tensors), sizeof *names, "names of tensors");
    for (int t = 0; t < plan->num_tensors; t++) names[t] = plan->tensors[t].name;
    Status status = h5_write_texts(w->file, PAL_CHECKSUM_TENSORS, names, plan->num_tensors);
    int64_t checksum = names_checksum(names, plan->num_tensors);
    if (status == PAL_OK) status = h5_set_integer(w->file, "/", PAL_CHECKSUM_NAMES, checksum);
    free(names);
    return status;
}

Status checkpoint_writing_begin(CheckpointWriting *w, const CheckpointPlan *plan, const char *path)
{
    *w = (CheckpointWriting){.plan = plan};
    snprintf(w->path, sizeof w->path, "%s", path);
    w->places = fatal_calloc(checked_size(plan->num_tensors) + 1, sizeof *w->places, "places");
    return publish_temporary(w->path, w->temporary, sizeof w->temporary);
}

Status checkpoint_lay_out(CheckpointWriting *w, const CheckpointState *state)
{
    PAL_TRY(h5_create(&w->file, w->temporary, NULL));
    PAL_TRY(checkpoint_write_state(w->file, state));
    PAL_TRY(write_names(w));
    PAL_TRY(lay_out_tensors(w));
    return h5_seal(w->file);
}

Status checkpoint_share(CheckpointWriting *w, Status mine)
{
    const Group *group = w->plan->group;
    size_t count = checked_size(w->plan->num_tensors) + 1;
    PAL_TRY(group_agree(group, mine));
    PAL_TRY(publish_seen(w->temporary, group));
    group_broadcast(group, w->places, count * sizeof *w->places, 0);
    return PAL_OK;
}

/* --- the numbers ------------------------------------------------------------------------------ */

static Status write_block(SharedFile *file, const CheckpointWriting *w, Block *block,
                          const char *bytes, size_t count)
{
    const CheckpointTensor *tensor = &w->plan->tensors[block->tensor];
    int64_t *offsets;
    FilePieces pieces = block_pieces(block, tensor->shape, stored_size(tensor->type),
                                     w->places[block->tensor], &offsets);
    block->checksum = block_checksum(block, bytes, count);
    Status status = shared_file_write(file, pieces, bytes);
    whereabouts_progress_in(SECTION_SAVE);
    free(offsets);
    return status;
}

/* Together, every rank takes part as often as the one that has most; a rank that has failed, or has
 * no more, with nothing. */
static Status take_part(SharedFile *file, const CheckpointPlan *plan, int times)
{
    Status status = PAL_OK;
    if (plan->transfer != TRANSFER_COLLECTIVE) return PAL_OK;
    for (int i = 0; i < times; i++) {
        Status now = shared_file_write(file, (FilePieces){0}, NULL);
        if (status == PAL_OK) status = now;
    }
    return status;
}

static Status write_tensor(SharedFile *file, const CheckpointWriting *w, Block *blocks, int tensor,
                           const char *bytes)
{
    const CheckpointPlan *plan = w->plan;
    const CheckpointTensor *t = &plan->tensors[tensor];
    int count = plan->blocks.of_tensor[tensor], done = 0;
    Status status = PAL_OK;
    for (; done < count && status == PAL_OK; done++) {
        size_t size = checked_size(slab_elements(&blocks[done].box, t->shape.num_dims)) *
                      stored_size(t->type);
        status = write_block(file, w, &blocks[done], bytes, size);
        bytes += size;
    }
    Status rest = take_part(file, plan, plan->blocks.most_of_tensor[tensor] - done);
    return status != PAL_OK ? status : rest;
}

static Status write_table(SharedFile *file, const CheckpointWriting *w)
{
    const BlockList *list = &w->plan->blocks;
    const int64_t row_bytes = BLOCK_COLUMNS * (int64_t)sizeof(int64_t);
    int64_t *table = fatal_calloc(checked_size(list->count * BLOCK_COLUMNS) + 1, sizeof *table,
                                  "the table of blocks");
    for (int64_t i = 0; i < list->count; i++)
        block_to_row(&list->blocks[i], table + i * BLOCK_COLUMNS);
    int64_t place = *table_place(w) + list->first * row_bytes;
    Status status =
        shared_file_write(file, (FilePieces){list->count * row_bytes, 1, &place}, table);
    free(table);
    return status;
}

Status checkpoint_fill(CheckpointWriting *w, CheckpointNumbers numbers)
{
    const CheckpointPlan *plan = w->plan;
    SharedFile *file = NULL;
    PAL_TRY(shared_file_open(&file, w->temporary, plan->group, plan->transfer));
    Block *blocks = plan->blocks.blocks;
    Status status = PAL_OK;
    for (int t = 0; t < plan->num_tensors; t++) {
        int count = plan->blocks.of_tensor[t];
        Status now = PAL_OK;
        if (status != PAL_OK)
            (void)take_part(file, plan, plan->blocks.most_of_tensor[t]);
        else
            now =
                write_tensor(file, w, blocks, t, count > 0 ? numbers.of(numbers.context, t) : NULL);
        if (status == PAL_OK) status = now;
        blocks += count;
    }
    bool table = *table_place(w) != 0;
    if (status == PAL_OK && table)
        status = write_table(file, w);
    else if (table)
        (void)take_part(file, plan, 1);
    Status closed = shared_file_close(&file);
    return status != PAL_OK ? status : closed;
}

/* --- the end ---------------------------------------------------------------------------------- */

Status checkpoint_publish(CheckpointWriting *w) { return h5_publish(&w->file, w->path); }

void checkpoint_writing_end(CheckpointWriting *w)
{
    h5_abandon(&w->file);
    free(w->places);
    w->places = NULL;
}

Status checkpoint_write(const CheckpointPlan *plan, const char *path, const CheckpointState *state,
                        CheckpointNumbers numbers)
{
    const Group *group = plan->group;
    CheckpointWriting w;
    Status status = checkpoint_writing_begin(&w, plan, path);
    if (status == PAL_OK && group_is_root(group)) status = checkpoint_lay_out(&w, state);
    status = checkpoint_share(&w, status);
    if (status == PAL_OK) status = group_agree(group, checkpoint_fill(&w, numbers));
    if (status == PAL_OK)
        status = group_agree(group, group_is_root(group) ? checkpoint_publish(&w) : PAL_OK);
    checkpoint_writing_end(&w);
    return status;
}
