/* SPDX-License-Identifier: Apache-2.0
 *
 * The one table of all parameters that a rank holds: name, shape, initialiser, weight decay, group,
 * and which slice of the whole tensor this rank has. It drives allocation, initialisation, gradient
 * reduction, clipping, the optimiser, checkpoints and gradient tests; a new parameter is one row in
 * parameters.c.
 *
 * Values and gradients lie in flat buffers: main group first, then the compression group (what the
 * compression loss trains); within a group first what is split over the tensor group, then what
 * each of its ranks has whole. So each of these is one contiguous range. Each tensor starts at a
 * multiple of 16 numbers; the padding between stays zero.
 */
#ifndef PAL_TENSOR_PARAMETERS_H
#define PAL_TENSOR_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/tensor/arena.h"
#include "src/tensor/device.h"
#include "src/tensor/placement.h"
#include "src/tensor/tensor.h"

typedef enum Initializer {
    INITIAL_ZERO,
    INITIAL_ONE,
    INITIAL_NORMAL,       /* N(0, 0.02) */
    INITIAL_MEAN_OF_GROUP /* I/c per tap plus N(0, 0.02 / sqrt(c)): the conv compressor */
} Initializer;

typedef enum ParameterGroup {
    GROUP_MAIN,        /* trained by the task loss */
    GROUP_COMPRESSION, /* f_c and decoder: trained by the compression loss */
    GROUP_COUNT
} ParameterGroup;

typedef struct Parameter {
    char name[96]; /* under /weights, e.g. "layers/00/attention/query" */
    int num_dims;
    int64_t dims[2];  /* this rank's slice */
    int64_t whole[2]; /* the tensor as checkpoints have it */
    int64_t first[2]; /* where the slice begins in it */
    bool shared;      /* every rank of the tensor group has all of it; gradients are summed there */
    bool owner;       /* of ranks with the same slice (shared; tied) this one counts it in norms and
                         writes it to checkpoints */
    bool at_both_ends; /* tied: first and last stage have it, each with a share of its gradient */
    Initializer initializer;
    bool decays; /* matrices do; biases, norms and the (H,E) biases do not */
    ParameterGroup group;
    int layer;      /* -1 outside the layers */
    int64_t offset; /* of the first number in the flat buffers */
} Parameter;

/* A parameter as a layer uses it. */
typedef struct Weight {
    Tensor value, gradient;
    Tensor operand; /* the value as products read it; the value itself where that is float32 */
} Weight;

typedef struct Parameters {
    int count;
    Parameter *table;                     /* (count), owned by the arena */
    int64_t group_first[GROUP_COUNT + 1]; /* group g is [group_first[g], group_first[g+1]) */
    int64_t shared_first[GROUP_COUNT];    /* its shared part is [shared_first[g], its end) */
    Tensor value, gradient;               /* (total) each, float32 */
    Tensor operand;                       /* (total) the values as place->operands has it */
    int compression_rate;
} Parameters;

/* Local. Builds the table for this part of the model and takes the buffers from the arena;
 * gradients only with `training`. */
void parameters_create(Parameters *parameters, Arena *arena, const ModelOptions *options,
                       const Placement *place, bool training);

/* Local. The table alone, without numbers: for names and shapes of a whole model. The caller frees
 * parameters->table. */
void parameters_describe(Parameters *parameters, const ModelOptions *options,
                         const Placement *place);

/* Local. After a change of the values: rounds them to the operands, where these are not the same. */
void parameters_round(const Parameters *parameters, Device *device);

/* The row of this name, or NULL. */
const Parameter *parameters_find(const Parameters *parameters, const char *name);

/* Local. Every value from the counter-based generator, keyed by (seed, name, element of the whole
 * tensor): equal bits on every process grid. */
void parameters_initialize(Parameters *parameters, Device *device, uint64_t seed);

/* Local. By its name (printf format); a weight without data where the table has no such row. */
Weight parameters_get(const Parameters *parameters, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One parameter's part of a flat buffer, in its own shape. */
Tensor parameter_view(const Parameter *row, Tensor flat);

/* The flat range of one group. */
Tensor parameters_group(const Parameters *parameters, Tensor flat, ParameterGroup group);

/* Where a layer's main parameters that are split over the tensor group begin; above them are those
 * of later layers. */
int64_t parameters_layer_first(const Parameters *parameters, int layer);

/* The number of weights in the table, padding not counted; of the largest row. */
int64_t parameters_total(const Parameters *parameters);
int64_t parameters_largest(const Parameters *parameters);

#endif
