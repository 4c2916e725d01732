/* SPDX-License-Identifier: Apache-2.0
 *
 * Compression functions f_c (Rae et al. 2019, section 3.2): the T evicted slots become T/c fresh
 * compressed ones. One set of weights per layer.
 *
 * In a tensor group each rank makes T/(cP) of the fresh slots, from the T/P evicted ones that they
 * stand for and, where f_c looks further, from others of the block (`reads`): the whole block lies
 * in the memory's view anyway, so nothing is sent. To add a compression: one file with its
 * functions, one row in the table of compression.c, its weights' rows in tensor/parameters.c and
 * its name in io/config.
 */
#ifndef PAL_MEMORY_COMPRESSION_H
#define PAL_MEMORY_COMPRESSION_H

#include "mpi/partition.h"
#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/parameters.h"

struct Compression;

/* Buffers for one compression, shared by all layers. */
typedef struct CompressionWorkspace {
    Range reads;          /* evicted slots of the block that this rank reads, S of them */
    Range makes;          /* fresh slots of the block that it makes, T/(cP) of them */
    Tensor evicted;       /* (B,S,D) */
    Tensor fresh, dfresh; /* (B,T/(cP),D) */
    Tensor usage;         /* (B,T) most_used: mean attention, by slot */
    Tensor source_usage;  /* (B,max(M,T)) most_used: of one source */
    int32_t *chosen;      /* (B,T/(cP)) most_used: kept slots, of this rank's fresh ones */
    Real *usage_on_host;  /* (B,T) */
    struct UsedSlot {
        Real usage;
        int32_t index;
    } * slots;                        /* (T) most_used: for sorting */
    Tensor pairs[PAL_MAX_DILATIONS];  /* (B,S,2D) dilated: input pairs of each step */
    Tensor stages[PAL_MAX_DILATIONS]; /* (B,S,D)  dilated: output of each step */
    Tensor dstage, dpairs;            /* (B,S,D), (B,S,2D) */
    Tensor tail, dtail;               /* (B,T/P,D) dilated: what becomes fresh of the last stage */
} CompressionWorkspace;

/* f_c of one layer. */
typedef struct Compressor {
    const struct Compression *kind;
    Weight conv;                       /* (cD,D) */
    Weight dilated[PAL_MAX_DILATIONS]; /* (2D,D) */
    int rate;                          /* c */
    int num_dilations;
    const int *dilations;       /* borrowed from the model's options */
    CompressionWorkspace *work; /* borrowed */
} Compressor;

typedef struct Compression {
    bool uses_attention; /* forward reads work->usage */
    /* work->fresh = f_c(evicted), leaving in the workspace what backward needs. */
    void (*forward)(Device *device, const Compressor *compressor, Tensor evicted);
    /* After forward on the same evicted: adds to the weights' gradients from work->dfresh. NULL
     * without weights. Evicted slots are constants, so there is no gradient to pass on. */
    void (*backward)(Device *device, const Compressor *compressor, Tensor evicted);
} Compression;

void compression_workspace_create(CompressionWorkspace *work, Arena *arena,
                                  const ModelOptions *options, const Placement *place);

void compressor_create(Compressor *compressor, const Parameters *parameters,
                       const ModelOptions *options, int layer, CompressionWorkspace *work);

/* Rows of the table of compressions. */
void pool_mean_compress(Device *, const Compressor *, Tensor evicted);
void pool_max_compress(Device *, const Compressor *, Tensor evicted);
void conv_compress(Device *, const Compressor *, Tensor evicted);
void conv_compress_backward(Device *, const Compressor *, Tensor evicted);
void dilated_compress(Device *, const Compressor *, Tensor evicted);
void dilated_compress_backward(Device *, const Compressor *, Tensor evicted);
void most_used_compress(Device *, const Compressor *, Tensor evicted);

#endif
