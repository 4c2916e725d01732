/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors for other programs: the safetensors format (a JSON header of names, types, shapes and
 * places, then the numbers without gaps), written by all ranks together.
 */
#ifndef PAL_IO_SAFETENSORS_H
#define PAL_IO_SAFETENSORS_H

#include "io/checkpoint_write.h"

/* A line of the header's __metadata__, which holds texts alone. */
typedef struct SafetensorsNote {
    const char *name, *text;
} SafetensorsNote;

/* Collective over the plan's group. Names lose the plan's folder and have dots for slashes:
 * "/weights/layers/00/attention/query" is "layers.00.attention.query". Errors:
 * PAL_ERROR_CANT_CREATE, PAL_ERROR_IO; then nothing is left of it. */
Status safetensors_write(const CheckpointPlan *plan, const char *path, const char *folder,
                         CheckpointNumbers numbers, const SafetensorsNote *notes, int num_notes);

#endif
