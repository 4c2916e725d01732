/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether what stands in a data file can be: for dataset.c, which reads it.
 */
#ifndef PAL_IO_DATASET_CHECK_H
#define PAL_IO_DATASET_CHECK_H

#include "io/dataset.h"

/* Local. All of the file but its tokens, which were read already. Error: PAL_ERROR_DATA. */
Status dataset_check(const Dataset *dataset);

#endif
