/* SPDX-License-Identifier: Apache-2.0
 *
 * data.h5 (io/README.md) from units of text that have become tokens.
 */
#ifndef PAL_IO_DATA_FILE_H
#define PAL_IO_DATA_FILE_H

#include "io/text/encode_units.h"
#include "io/text/published.h"
#include "mpi/grid.h"

/* Collective over the group, when all units are there. Writes under a temporary name, then renames;
 * `counts` become those of the splits, on rank 0. Errors, the same on every rank: a unit is not what
 * was written, a held-out document is also one of the training split's (65); output cannot be made,
 * or is not seen by all (73); reading or writing failed (74); PAL_STOPPED_EARLY. */
Status data_file_write(const char *output, const Encoding *encoding, const Group *group,
                       SplitCounts counts[SPLIT_COUNT]);

#endif
