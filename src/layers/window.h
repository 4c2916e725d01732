/* SPDX-License-Identifier: Apache-2.0
 *
 * One window: the next T tokens of every row that this rank holds, and what goes with them.
 */
#ifndef PAL_LAYERS_WINDOW_H
#define PAL_LAYERS_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Window {
    int rows, length;       /* B, T */
    const int32_t *inputs;  /* (B,T) tokens, shifted by one; anything valid at padding */
    const int32_t *targets; /* (B,T) tokens, -1 at padding */
    const int *counted;     /* (B) how many positions are not padding; padding comes last */
    const bool *starts;     /* (B) a document starts here */
    int64_t index;          /* windows since the start of training: the "step" of dropout */
    int64_t first_row;      /* global number of row 0 */
    uint64_t seed;          /* of dropout */
} Window;

#endif
