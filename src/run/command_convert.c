/* SPDX-License-Identifier: Apache-2.0
 *
 * palimpsest convert CHECKPOINT -o FILE: the weights alone, for sharing and for other programs.
 */
#include <stdlib.h>
#include <string.h>

#include "io/output.h"
#include "io/publish.h"
#include "io/safetensors.h"
#include "mpi/collectives.h"
#include "mpi/partition.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"
#include "src/base/log.h"
#include "src/run/commands.h"
#include "src/run/machine.h"

#define WEIGHTS "/weights/"

typedef struct Conversion {
    const Group *world;
    Checkpoint *from;
    StoredType type;
    CheckpointTensor *tensors; /* (count) each rank has some rows of each */
    Slab *boxes;               /* (count) */
    void **numbers;            /* (count) as the new file has them */
    int count;
} Conversion;

static void divide_rows(Conversion *c)
{
    size_t count = checked_size(c->count);
    c->boxes = fatal_calloc(count + 1, sizeof *c->boxes, "a list of boxes");
    c->numbers = fatal_calloc(count + 1, sizeof *c->numbers, "a list of tensors");
    for (int t = 0; t < c->count; t++) {
        CheckpointTensor *tensor = &c->tensors[t];
        Range rows = partition_range(tensor->shape.dims[0], c->world->size, c->world->rank);
        c->boxes[t] = shape_slab(tensor->shape);
        c->boxes[t].first[0] = rows.first;
        c->boxes[t].count[0] = rows.count;
        tensor->boxes = &c->boxes[t];
        tensor->num_boxes = 1;
    }
}

static Status read_weights(Conversion *c)
{
    for (int t = 0; t < c->count; t++) {
        CheckpointTensor *tensor = &c->tensors[t];
        int64_t count = slab_elements(&c->boxes[t], tensor->shape.num_dims);
        size_t room = checked_size(count) + 1;
        Real *numbers = fatal_calloc(room, sizeof *numbers, "weights");
        tensor->type = STORED_REAL;
        Status status = checkpoint_read(c->from, tensor, numbers);
        tensor->type = c->type;
        c->numbers[t] = fatal_calloc(room, stored_size(c->type), "weights");
        stored_pack(c->type, c->numbers[t], numbers, count);
        free(numbers);
        PAL_TRY(status);
    }
    return PAL_OK;
}

static const void *numbers_of(void *context, int tensor)
{
    const Conversion *c = context;
    return c->numbers[tensor];
}

static Status write_safetensors(const Conversion *c, const CheckpointPlan *plan, const char *path,
                                CheckpointNumbers numbers)
{
    char update[32];
    snprintf(update, sizeof update, "%lld", (long long)c->from->state.update);
    const SafetensorsNote notes[] = {
        {"format", "pt"},
        {"palimpsest_version", c->from->program_version},
        {"update", update},
        {"configuration", c->from->state.configuration},
    };
    return safetensors_write(plan, path, WEIGHTS, numbers, notes, sizeof notes / sizeof *notes);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

static Status convert(Conversion *c, const char *output)
{
    PAL_TRY(checkpoint_verify(c->from, WEIGHTS, NULL));
    PAL_TRY(checkpoint_tensors(c->from, WEIGHTS, &c->tensors, &c->count));
    divide_rows(c);
    PAL_TRY(read_weights(c));
    CheckpointPlan plan;
    CheckpointNumbers numbers = {c, numbers_of};
    checkpoint_plan_create(&plan, c->world, TRANSFER_DIRECT, c->tensors, c->count);
    double bytes = (double)checkpoint_plan_bytes(&plan);
    group_sum_double(c->world, &bytes, 1);
    Status status = ends_with(output, ".safetensors")
                        ? write_safetensors(c, &plan, output, numbers)
                        : checkpoint_write(&plan, output, &c->from->state, numbers);
    checkpoint_plan_destroy(&plan);
    if (status == PAL_OK)
        log_info("wrote %s: %d tensors of update %lld, %.1f MiB", output, c->count,
                 (long long)c->from->state.update, bytes / MEBIBYTE);
    return status;
}

static void conversion_end(Conversion *c)
{
    for (int t = 0; t < c->count && c->numbers != NULL; t++) free(c->numbers[t]);
    free(c->numbers);
    free(c->boxes);
    free(c->tensors);
    checkpoint_close(&c->from);
}

static Status check_options(const char *input, const char *output, const char *type)
{
    if (output == NULL)
        PAL_FAIL(PAL_ERROR_USAGE,
                 "convert: where to? Give -o weights.h5 or -o weights.safetensors");
    if (!ends_with(output, ".h5") && !ends_with(output, ".safetensors"))
        PAL_FAIL(PAL_ERROR_USAGE,
                 "convert: -o %s: expected a name that ends in .h5 or "
                 ".safetensors",
                 output);
    if (strcmp(type, "float32") != 0 && strcmp(type, "bfloat16") != 0)
        PAL_FAIL(PAL_ERROR_USAGE, "convert: --type %s: expected float32 or bfloat16", type);
    char temporary[PAL_PATH_SIZE];
    PAL_TRY(publish_temporary(output, temporary, sizeof temporary));
    if (publish_same_file(input, output) || publish_same_file(input, temporary))
        PAL_FAIL(PAL_ERROR_USAGE,
                 "convert: -o %s would replace the checkpoint itself; give another name", output);
    return output_check(output, OUTPUT_NEW);
}

Status command_convert(const Command *command, Grid *grid, int argc, char **argv)
{
    const char *path = NULL, *output = NULL, *type = "float32";
    char found[PAL_PATH_SIZE];
    bool helped;
    const Group *world = &grid->world;
    const Option options[] = {
        {"o", OPTION_TEXT, &output, "FILE", "FILE.h5, or FILE.safetensors for PyTorch"},
        {"type", OPTION_TEXT, &type, "float32|bfloat16", "of the numbers (default: float32)"},
    };
    PAL_TRY(
        arguments_parse(command, options, 2, argc, argv, &path, 1, group_is_root(world), &helped));
    if (helped) return PAL_OK;

    PAL_TRY(checkpoint_find_for(world, path, found));
    PAL_TRY(group_agree(world, check_options(found, output, type)));
    Conversion c = {.world = world,
                    .type = strcmp(type, "bfloat16") == 0 ? STORED_BFLOAT16 : STORED_FLOAT32};
    PAL_TRY(checkpoint_open(&c.from, found, world));
    Status status = convert(&c, output);
    conversion_end(&c);
    return status;
}
