/* SPDX-License-Identifier: Apache-2.0 */
#include "io/safetensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/json.h"
#include "io/publish.h"
#include "mpi/collectives.h"
#include "src/base/checked.h"
#include "src/base/fatal.h"

static const char *type_name(StoredType type)
{
    PAL_ASSERT(type == STORED_FLOAT32 || type == STORED_BFLOAT16);
    return type == STORED_BFLOAT16 ? "BF16" : "F32";
}

static int64_t tensor_bytes(const CheckpointTensor *tensor)
{
    return shape_elements(tensor->shape) * (int64_t)stored_size(tensor->type);
}

static void append_integer(JsonText *json, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    json_append(json, text);
}

static void append_tensor(JsonText *json, const CheckpointTensor *tensor, size_t folder_length,
                          int64_t first)
{
    char name[PAL_TENSOR_NAME_SIZE];
    snprintf(name, sizeof name, "%s", tensor->name + folder_length);
    for (char *c = name; *c != '\0'; c++)
        if (*c == '/') *c = '.';
    json_append(json, ", ");
    json_append_string(json, name);
    json_append(json, ": {\"dtype\": ");
    json_append_string(json, type_name(tensor->type));
    json_append(json, ", \"shape\": [");
    for (int d = 0; d < tensor->shape.num_dims; d++) {
        if (d > 0) json_append(json, ", ");
        append_integer(json, tensor->shape.dims[d]);
    }
    json_append(json, "], \"data_offsets\": [");
    append_integer(json, first);
    json_append(json, ", ");
    append_integer(json, first + tensor_bytes(tensor));
    json_append(json, "]}");
}

static void append_notes(JsonText *json, const SafetensorsNote *notes, int num_notes)
{
    json_append(json, "{\"__metadata__\": {");
    for (int i = 0; i < num_notes; i++) {
        if (i > 0) json_append(json, ", ");
        json_append_string(json, notes[i].name);
        json_append(json, ": ");
        json_append_string(json, notes[i].text);
    }
    json_append(json, "}");
}

/* Blanks at its end let the numbers begin at a multiple of eight. */
static void build_header(JsonText *json, const CheckpointPlan *plan, const char *folder,
                         const SafetensorsNote *notes, int num_notes)
{
    int64_t first = 0;
    append_notes(json, notes, num_notes);
    for (int t = 0; t < plan->num_tensors; t++) {
        append_tensor(json, &plan->tensors[t], strlen(folder), first);
        first += tensor_bytes(&plan->tensors[t]);
    }
    json_append(json, "}");
    while (json->length % 8 != 0 && !json->lost) json_append(json, " ");
}

/* Local, by one rank: the length in eight little-endian bytes, and the header. */
static Status write_header(const char *path, const JsonText *header)
{
    FILE *out = fopen(path, "wb");
    if (out == NULL)
        PAL_FAIL(PAL_ERROR_CANT_CREATE,
                 "%s: cannot be created: %s; choose a folder that exists, has room, and that you "
                 "may write to",
                 path, strerror(errno));
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(header->length >> (8 * i));
    bool good = fwrite(length, 1, sizeof length, out) == sizeof length &&
                fwrite(header->text, 1, header->length, out) == header->length;
    int reason = errno;
    if (fclose(out) != 0) {
        good = false;
        reason = errno;
    }
    if (!good) PAL_FAIL(PAL_ERROR_IO, "%s: cannot be written: %s", path, strerror(reason));
    return PAL_OK;
}

static Status write_all(CheckpointWriting *w, const JsonText *header, CheckpointNumbers numbers)
{
    const Group *group = w->plan->group;
    Status status = PAL_OK;
    if (header->lost)
        status = PAL_FAILURE(PAL_ERROR_UNAVAILABLE, "%s: no memory for its header", w->path);
    else if (group_is_root(group))
        status = write_header(w->temporary, header);
    PAL_TRY(group_agree(group, status));
    PAL_TRY(publish_seen(w->temporary, group));
    PAL_TRY(group_agree(group, checkpoint_fill(w, numbers)));
    return group_agree(group, group_is_root(group) ? publish_file(w->temporary, w->path) : PAL_OK);
}

Status safetensors_write(const CheckpointPlan *plan, const char *path, const char *folder,
                         CheckpointNumbers numbers, const SafetensorsNote *notes, int num_notes)
{
    JsonText header = {0};
    CheckpointWriting w;
    Status status = checkpoint_writing_begin(&w, plan, path);
    build_header(&header, plan, folder, notes, num_notes);
    int64_t place = 8 + (int64_t)header.length;
    for (int t = 0; t < plan->num_tensors; t++) {
        w.places[t] = place;
        place += tensor_bytes(&plan->tensors[t]);
    }
    if (status == PAL_OK) status = write_all(&w, &header, numbers);
    if (status != PAL_OK && group_is_root(plan->group)) unlink(w.temporary);
    checkpoint_writing_end(&w);
    free(header.text);
    return status;
}
