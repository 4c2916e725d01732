/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of a window whose tokens lie in one cluster of the vocabulary (src/tensor/clusters.h):
 * they are found on the host, taken out of a matrix, computed with by themselves, and added back
 * to where they were. And the room in which embedding and output layer do that, a piece at a time.
 */
#ifndef PAL_LAYERS_CLUSTER_ROWS_H
#define PAL_LAYERS_CLUSTER_ROWS_H

#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/placement.h"

typedef struct ClusterRows {
    int32_t *rows;   /* (count) ascending, host */
    int32_t *tokens; /* (count) theirs, counted from the first one of the range, host */
    int64_t count;
} ClusterRows;

/* n rows at most, in types that products read and in float32; d is D at most. */
typedef struct ClusterWork {
    ClusterRows found;      /* (B T) at most */
    int32_t *tokens;        /* (B T) host: inputs without padding, or rows of the head */
    int64_t most;           /* n */
    Tensor narrow, dnarrow; /* (n d) operands, float32 */
    Tensor dnarrow_rounded; /* (n d) operands; dnarrow itself in float32 */
    Tensor wide;            /* (n D) operands; dwide itself in float32 */
    Tensor dwide;           /* (n D) float32 */
    Tensor nats;            /* (n) */
} ClusterWork;

/* Local. For an adaptive model; leaves *work empty for any other. */
void cluster_work_create(ClusterWork *work, Arena *arena, const ModelOptions *options,
                         const Placement *place);

/* The first `rows` rows of width `columns` of a buffer above. */
Tensor cluster_work_rows(Tensor buffer, int64_t rows, int64_t columns);

/* Finds those of `count` rows whose token lies in [first_token, first_token + tokens). */
void cluster_rows_find(ClusterRows *found, const int32_t *row_tokens, int64_t count,
                       int64_t first_token, int64_t tokens);

/* At most `most` of them, from number `first` on. */
ClusterRows cluster_rows_piece(const ClusterRows *found, int64_t first, int64_t most);

/* y[i] = x[rows[i]], both of one type. */
void cluster_rows_take(Device *device, Tensor y /* (count,n) */, Tensor x /* (rows,n) */,
                       const ClusterRows *piece);

/* x[rows[i]] += y[i], both float32. */
void cluster_rows_add(Device *device, Tensor x /* (rows,n) */, Tensor y /* (count,n) */,
                      const ClusterRows *piece);

#endif
