/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers as they stand in files: little-endian, float32 or bfloat16 for Real.
 */
#ifndef PAL_IO_STORED_H
#define PAL_IO_STORED_H

#include <stddef.h>
#include <stdint.h>

#include "src/tensor/dims.h"

/* How numbers are stored; always little-endian. In memory they have the C type of the same name,
 * except STORED_REAL: Real in memory, float32 in the file; and STORED_BFLOAT16: the upper half of a
 * float32, uint16_t in memory. */
typedef enum StoredType {
    STORED_REAL,
    STORED_FLOAT32,
    STORED_FLOAT64,
    STORED_BFLOAT16,
    STORED_INT32,
    STORED_INT64,
    STORED_UINT16,
    STORED_UINT8
} StoredType;

/* Local. Bytes of one number in a file. */
size_t stored_size(StoredType type);

/* Local. `count` numbers to the bytes of a file, as STORED_FLOAT32 or STORED_BFLOAT16 (rounded to
 * nearest, ties to even; NaN stays NaN), and back. */
void stored_pack(StoredType type, void *bytes, const Real *numbers, int64_t count);
void stored_unpack(StoredType type, Real *numbers, const void *bytes, int64_t count);

#endif
