/* SPDX-License-Identifier: Apache-2.0 */
#include "io/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checkpoint_blocks.h"
#include "io/checkpoint_state.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/whereabouts.h"

Status checkpoint_open(Checkpoint **checkpoint, const char *path, const Group *group)
{
    H5File *file = NULL;
    *checkpoint = NULL;
    PAL_TRY(h5_open(&file, path, group));
    Checkpoint *c = calloc(1, sizeof *c);
    Status status = h5_agree(
        file, c != NULL ? PAL_OK : PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: out of memory", path));
    if (status != PAL_OK) {
        h5_abandon(&file);
        free(c);
        return status;
    }
    PAL_ASSERT(c != NULL);
    c->file = file;
    *checkpoint = c;
    status = checkpoint_read_state(c->file, &c->state, &c->program_version);
    if (status != PAL_OK) checkpoint_close(checkpoint);
    return status;
}

void checkpoint_close(Checkpoint **checkpoint)
{
    Checkpoint *c = *checkpoint;
    if (c == NULL) return;
    h5_abandon(&c->file); /* nothing was written; keeps the message of a failure */
    free(c->state.cursors);
    free((char *)(uintptr_t)c->state.configuration);
    tokenizer_model_free(&c->state.tokenizer);
    free(c->program_version);
    free(c);
    *checkpoint = NULL;
}

int64_t checkpoint_numbers(const CheckpointTensor *tensor)
{
    int64_t count = 0;
    for (int i = 0; i < tensor->num_boxes; i++)
        count += slab_elements(&tensor->boxes[i], tensor->shape.num_dims);
    return count;
}

/* Numbers that stand in the file as bfloat16 are read so and widened here. */
static Status read_widened(Checkpoint *checkpoint, const CheckpointTensor *tensor,
                           StoredType stored, Real *numbers)
{
    int64_t count = checkpoint_numbers(tensor);
    void *bytes = fatal_calloc(checked_size(count) + 1, stored_size(stored), "numbers of a file");
    Status status = h5_read_slabs(checkpoint->file, tensor->name, stored, tensor->boxes,
                                  tensor->num_boxes, bytes);
    if (status == PAL_OK) stored_unpack(stored, numbers, bytes, count);
    free(bytes);
    return status;
}

Status checkpoint_read(Checkpoint *checkpoint, const CheckpointTensor *tensor, void *numbers)
{
    Shape found;
    StoredType stored;
    char is[96], wanted[96];
    H5File *file = checkpoint->file;
    whereabouts_progress();
    PAL_TRY(h5_shape(file, tensor->name, &found));
    if (!shape_equal(found, tensor->shape))
        PAL_FAIL(PAL_ERROR_DATA,
                 "%s: '%s' has shape %s in the file, the model wants %s; was it saved with another "
                 "configuration?",
                 h5_path(file), tensor->name, shape_text(found, is),
                 shape_text(tensor->shape, wanted));
    PAL_TRY(h5_stored_type(file, tensor->name, &stored));
    if (tensor->type == STORED_REAL && stored == STORED_BFLOAT16)
        return read_widened(checkpoint, tensor, stored, numbers);
    return h5_read_slabs(file, tensor->name, tensor->type, tensor->boxes, tensor->num_boxes,
                         numbers);
}

Status checkpoint_shape(Checkpoint *checkpoint, const char *name, Shape *shape)
{
    return h5_shape(checkpoint->file, name, shape);
}

static Status describe(Checkpoint *checkpoint, const char *name, CheckpointTensor *tensor)
{
    *tensor = (CheckpointTensor){.num_boxes = 0};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    PAL_TRY(h5_shape(checkpoint->file, name, &tensor->shape));
    return h5_stored_type(checkpoint->file, name, &tensor->type);
}

Status checkpoint_tensors(Checkpoint *checkpoint, const char *folder, CheckpointTensor **tensors,
                          int *count)
{
    char **names = NULL;
    int64_t num_names = 0;
    *tensors = NULL;
    *count = 0;
    Status status = h5_read_texts(checkpoint->file, PAL_CHECKSUM_TENSORS, &names, &num_names);
    if (status == PAL_OK)
        *tensors = fatal_calloc(checked_size(num_names) + 1, sizeof **tensors, "tensors of a file");
    for (int64_t i = 0; i < num_names && status == PAL_OK; i++)
        if (strncmp(names[i], folder, strlen(folder)) == 0)
            status = describe(checkpoint, names[i], &(*tensors)[(*count)++]);
    h5_texts_free(&names, num_names);
    return status;
}
