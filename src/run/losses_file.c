/* SPDX-License-Identifier: Apache-2.0 */
#include "src/run/losses_file.h"

#include <stdio.h>

#include "io/config.h"
#include "io/h5_file.h"
#include "io/publish.h"

static Status write_document(H5File *file, const DataSplit *split, const char *quantity, int64_t d,
                             const float *nats)
{
    char name[1024];
    int64_t tokens = split->offsets[d + 1] - split->offsets[d];
    snprintf(name, sizeof name, "/documents/%s/%s", split->names[d], quantity);
    Slab slab = {{0}, {nats != NULL ? tokens : 0}};
    PAL_TRY(h5_define(file, name, STORED_FLOAT32, (Shape){1, {tokens}}));
    return h5_write_slab(file, name, STORED_FLOAT32, &slab, nats);
}

Status losses_file_write(const char *path, const Group *group, const DataSplit *split,
                         const char *quantity, float *const *nats)
{
    H5File *file = NULL;
    char temporary[PAL_PATH_SIZE];
    PAL_TRY(publish_temporary(path, temporary, sizeof temporary));
    PAL_TRY(h5_create(&file, temporary, group));
    Status status = PAL_OK;
    for (int64_t d = 0; status == PAL_OK && d < split->documents; d++)
        status = write_document(file, split, quantity, d, nats[d]);
    if (status == PAL_OK) return h5_publish(&file, path);
    h5_abandon(&file);
    return status;
}
