/* SPDX-License-Identifier: Apache-2.0 */
#include "io/stored.h"

#include <stdbool.h>
#include <string.h>

#include "src/base/fatal.h"
#include "src/tensor/bfloat16.h"

size_t stored_size(StoredType type)
{
    switch (type) {
    case STORED_REAL:
    case STORED_FLOAT32:
    case STORED_INT32: return 4;
    case STORED_FLOAT64:
    case STORED_INT64: return 8;
    case STORED_BFLOAT16:
    case STORED_UINT16: return 2;
    case STORED_UINT8: return 1;
    }
    return 0;
}

void stored_pack(StoredType type, void *bytes, const Real *numbers, int64_t count)
{
    PAL_ASSERT(type == STORED_FLOAT32 || type == STORED_BFLOAT16);
    float *floats = bytes;
    uint16_t *halves = bytes;
    if (type == STORED_BFLOAT16)
        for (int64_t i = 0; i < count; i++) halves[i] = bfloat16_of((float)numbers[i]);
    else if (sizeof(Real) == sizeof(float))
        memcpy(bytes, numbers, (size_t)count * sizeof *numbers);
    else
        for (int64_t i = 0; i < count; i++) floats[i] = (float)numbers[i];
}

void stored_unpack(StoredType type, Real *numbers, const void *bytes, int64_t count)
{
    PAL_ASSERT(type == STORED_FLOAT32 || type == STORED_BFLOAT16);
    const float *floats = bytes;
    const uint16_t *halves = bytes;
    if (type == STORED_BFLOAT16)
        for (int64_t i = 0; i < count; i++) numbers[i] = float_of_bfloat16(halves[i]);
    else
        for (int64_t i = 0; i < count; i++) numbers[i] = floats[i];
}
